//! The verbs, one file each: its arguments with their help, the call, and the result as text and as JSON.

pub(crate) mod apply;
pub(crate) mod background;
pub(crate) mod clone;
pub(crate) mod config;
pub(crate) mod delete;
pub(crate) mod forward;
pub(crate) mod kubectl;
pub(crate) mod list;
pub(crate) mod load;
pub(crate) mod logs;
pub(crate) mod nix;
pub(crate) mod pause;
pub(crate) mod prune;
pub(crate) mod reset;
pub(crate) mod resume;
pub(crate) mod run;
pub(crate) mod snapshot;
pub(crate) mod ssh;
pub(crate) mod start;
pub(crate) mod status;
pub(crate) mod stop;
