//! Creates and opens directories.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use model::Result;
use rustix::fs::OFlags;

use crate::io_error::at_path;

/// Creates the directory and its parents. The directory itself gets mode 0700, even if it exists.
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
            .map_err(|error| at_path("restrict the permissions of", path, &error))?;
    }
    Ok(())
}

/// Creates the directory, whose parent must exist, and opens it. It gets mode 0700, even if it exists. A symbolic link
/// is not followed. Paths from [`in_open_directory`] lead to it even if it is renamed.
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
            .map_err(|error| at_path("restrict the permissions of", path, &error))?;
    }
    Ok(directory)
}

/// Creates the directory and its parents with the usual permissions.
///
/// # Errors
/// An error that names the path.
pub fn create_dir(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(|error| at_path("create the directory", path, &error))
}

/// The path of `name` in an open directory. It is valid even if the directory is renamed.
pub fn in_open_directory(directory: &File, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{name}", directory.as_raw_fd()))
}
