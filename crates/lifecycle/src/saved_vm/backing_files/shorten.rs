//! Keeps chains short: for each layer QEMU opens a file, and a read of data that the guest has not written looks through
//! all of them.
//!
//! The backing files stay as they are, for the snapshots; their data are copied into the instance's own disk.

use std::path::Path;
use std::time::Duration;

use model::{EventSink, Result};
use qemu::{Qmp, qemu_img};

use super::directory::BackingFiles;

/// How many disks may be in a chain above the guest image's.
const MOST_LAYERS: usize = 6;

/// Merges the layers of the disk of a running VM if they are too many, within `deadline`. The guest runs on. Returns
/// whether they were too many.
///
/// # Errors
/// As [`BackingFiles::chain`] and [`qemu::disk::shorten`]; then the chain is unchanged.
pub fn shorten_running(
    backing_files: &BackingFiles,
    qmp: &mut Qmp,
    disk: &Path,
    deadline: Duration,
    events: &dyn EventSink,
) -> Result<bool> {
    let chain = backing_files.chain(disk)?;
    match chain.image {
        Some(image) if chain.layers.len() > MOST_LAYERS => {
            qemu::disk::shorten(qmp, disk, &image, deadline, events).map(|()| true)
        }
        _ => Ok(false),
    }
}

/// The same for a disk that no QEMU has open.
///
/// # Errors
/// As [`BackingFiles::chain`] and [`qemu_img::rebase`]; then the chain is unchanged.
pub fn shorten_stopped(backing_files: &BackingFiles, disk: &Path, deadline: Duration) -> Result<bool> {
    let chain = backing_files.chain(disk)?;
    match chain.image {
        Some(image) if chain.layers.len() > MOST_LAYERS => qemu_img::rebase(disk, &image, deadline).map(|()| true),
        _ => Ok(false),
    }
}
