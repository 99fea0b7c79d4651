//! The life of an instance: one file a verb, each made of steps that observe, act and emit events.
//!
//! It never prints; results are values, news are events.

mod accelerator;
pub mod aftermath;
pub mod apply;
mod awake;
pub mod clone;
mod cluster_now;
pub mod context;
pub mod delete;
mod disk;
pub mod disks;
mod dot_env;
pub mod forward;
mod guest_health;
mod guest_watch;
mod ignore_file;
mod image_users;
pub mod images;
mod instance_files;
mod instance_ports;
pub mod instances;
pub mod keeper;
pub mod kubectl;
mod launch;
mod launch_fault;
pub mod leftovers;
pub mod list;
pub mod load;
pub mod logs;
mod machine;
pub mod nix_update;
pub mod observe;
pub mod ownership;
pub mod pause;
mod phases;
pub mod pool;
pub mod project;
pub mod prune;
mod readiness;
mod record;
pub mod reset;
pub mod run;
mod saved;
pub mod services;
pub mod snapshot;
pub mod ssh;
pub mod start;
pub mod status;
pub mod stop;
mod suspend;
mod template;
mod vm_log;
mod web_integration;
mod web_port;

pub use context::Context;
