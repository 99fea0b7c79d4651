//! Disk space.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use model::Result;
use rustix::io::Errno;

use crate::io_error::at_path;

/// The bytes that a file takes on the disk. If it has holes, they are fewer than its length.
pub fn on_disk(metadata: &fs::Metadata) -> u64 {
    // st_blocks counts units of 512 bytes on every filesystem (stat(2)).
    metadata.blocks() * 512
}

/// The bytes that this user can still write on the filesystem of `path`, or of its nearest parent that exists.
///
/// # Errors
/// An error that names the path.
pub fn free_space(path: &Path) -> Result<u64> {
    let mut place = path;
    loop {
        let shown = if place.as_os_str().is_empty() { Path::new(".") } else { place };
        match rustix::fs::statvfs(shown) {
            Ok(facts) => return Ok(facts.f_bavail.saturating_mul(facts.f_frsize)),
            Err(Errno::NOENT | Errno::NOTDIR) if place.parent().is_some() => {
                place = place.parent().unwrap_or(place);
            }
            Err(error) => return Err(at_path("read the free space of", path, &error.into())),
        }
    }
}
