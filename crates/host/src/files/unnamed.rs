//! Files that get their name when they are complete: whoever is killed before leaves nothing of them behind.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, open};
use rustix::io::Errno;

/// A new file without a name on the filesystem of `folder`, open for writing; nothing where that filesystem has none
/// (NFS, FUSE, overlays of old kernels).
pub(super) fn create(folder: &Path, mode: u32) -> io::Result<Option<File>> {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    match open(folder, flags, Mode::from_raw_mode(mode)) {
        Ok(file) => Ok(Some(File::from(file))),
        // What does not know the flag takes it for a folder to be written (open(2)).
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOSYS) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Gives it a name that nothing has.
///
/// # Errors
/// `AlreadyExists` where something has it; others where there is no /proc, through which alone it can be named.
pub(super) fn give_name(file: &File, name: &Path) -> io::Result<()> {
    let this = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(linkat(CWD, this, CWD, name, AtFlags::SYMLINK_FOLLOW)?)
}
