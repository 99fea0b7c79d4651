//! The other verbs, one file each.

pub mod clone;
pub mod delete;
pub mod forward;
pub mod kubectl;
pub mod list;
pub mod load;
pub mod logs;
pub mod nix_update;
pub mod pause;
pub mod prune;
pub mod reset;
pub mod snapshot;
pub mod ssh;
pub mod start;
pub mod status;
pub mod stop;
