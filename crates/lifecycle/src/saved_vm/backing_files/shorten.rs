//! Keeps chains short: each layer costs the guest a look at every cluster that it has not written, and QEMU a file.
//!
//! What snapshots are made of stays with them; only the instance's own disk takes over what lies under it.

use std::path::Path;
use std::time::Duration;

use model::{EventSink, Result};
use qemu::{Qmp, qemu_img};

use super::Pool;

/// How many disks may lie above that of the guest image.
const MOST_LAYERS: usize = 6;

/// Merges the layers of the disk of a running VM if they are too many, within `deadline`; the guest goes on. Returns
/// whether it was so.
///
/// # Errors
/// As [`Pool::chain`] and [`qemu::disk::shorten`]; the chain is the old one then.
pub fn shorten_running(
    pool: &Pool,
    qmp: &mut Qmp,
    disk: &Path,
    deadline: Duration,
    events: &dyn EventSink,
) -> Result<bool> {
    let chain = pool.chain(disk)?;
    match chain.image {
        Some(image) if chain.layers.len() > MOST_LAYERS => {
            qemu::disk::shorten(qmp, disk, &image, deadline, events).map(|()| true)
        }
        _ => Ok(false),
    }
}

/// The same for a disk that no QEMU holds.
///
/// # Errors
/// As [`Pool::chain`] and [`qemu_img::rebase`]; the chain is the old one then.
pub fn shorten_stopped(pool: &Pool, disk: &Path, deadline: Duration) -> Result<bool> {
    let chain = pool.chain(disk)?;
    match chain.image {
        Some(image) if chain.layers.len() > MOST_LAYERS => qemu_img::rebase(disk, &image, deadline).map(|()| true),
        _ => Ok(false),
    }
}
