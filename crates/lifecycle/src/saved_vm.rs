//! Saved VMs: templates, snapshots and suspended VMs, and the backing files under their disks.

pub mod backing_files;
pub(crate) mod disk;
pub(crate) mod save;
pub(crate) mod snapshot;
pub(crate) mod suspend;
pub(crate) mod template;
mod vm;

pub(crate) use vm::{PATIENCE, SavedVm, discard, fits_now, usage_without_disk};
