//! Saved VMs: templates, snapshots and suspended RAM, and the disks below them.

pub mod backing_files;
pub(crate) mod cluster;
pub(crate) mod interrupted_restore;
pub(crate) mod suspend;
pub(crate) mod template;
