//! Forks: private clusters for one command, and the warm pool of forks made ahead.

pub mod fill;
pub mod reaper;
pub mod run;
mod take;
pub(crate) mod warm_pool;
