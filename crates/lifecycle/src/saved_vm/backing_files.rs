//! The backing files of a project (`.k3s-vm/disks/`): read-only disks, on which disks of instances and of saved VMs are
//! overlays.
//!
//! A backing file is never written to, and overlays find it by its name here. This module knows chains of disks, not what
//! is on them, nor what the instances do.

mod chain;
mod collect;
mod directory;
mod room;
mod shorten;

pub use chain::Chain;
pub use collect::Collected;
pub use directory::{BackingFiles, LockedBackingFiles};
pub use room::check_room;
pub use shorten::{shorten_running, shorten_stopped};

#[cfg(test)]
mod tests;
