//! Forks: private clusters for one command, and the warm pool of forks made ahead.

pub mod run;
pub mod warm_pool;
