//! Directories: private ones, ordinary ones, and work through one that is held open.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use model::Result;
use rustix::fs::OFlags;

use crate::io_error::at_path;

/// Makes the directory and its parents; the directory itself gets 0700, also when it exists.
///
/// # Errors
/// An error that names the path.
pub fn create_private_dir(path: &Path) -> Result<()> {
    let failed = |error| at_path("create the directory", path, &error);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => {}
        Err(error) => return Err(failed(error)),
    }
    let mode = fs::metadata(path).map_err(failed)?.permissions().mode();
    if mode & 0o7777 != 0o700 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))
            .map_err(|error| at_path("make private the directory", path, &error))?;
    }
    Ok(())
}

/// Makes the directory, in one that is there, and opens it; it gets 0700 also when it exists. A symbolic link in its place
/// is not followed. What is done through it (see [`in_open_directory`]) is done there, whatever gets its name meanwhile.
///
/// # Errors
/// An error that names the path.
pub fn open_private_dir(path: &Path) -> Result<fs::File> {
    let failed = |error: io::Error| at_path("open the directory", path, &error);
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            return Err(at_path("create the directory", path, &error));
        }
        _ => {}
    }
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = rustix::fs::open(path, flags, rustix::fs::Mode::empty()).map_err(|error| failed(error.into()))?;
    let directory = fs::File::from(directory);
    if directory.metadata().map_err(failed)?.permissions().mode() & 0o7777 != 0o700 {
        directory
            .set_permissions(fs::Permissions::from_mode(0o700))
            .map_err(|error| at_path("make private the directory", path, &error))?;
    }
    Ok(directory)
}

/// Makes the directory and its parents with the usual permissions.
///
/// # Errors
/// An error that names the path.
pub fn create_dir(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(|error| at_path("create the directory", path, &error))
}

/// The path of `name` in an open directory, which leads there whatever becomes of the directory's own name.
pub fn in_open_directory(directory: &File, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{name}", directory.as_raw_fd()))
}
