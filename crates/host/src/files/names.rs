//! Renames, links, exchanges and removes files.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use model::{Error, ErrorClass, Result};
use rustix::io::Errno;

use super::reading::is_absent;
use crate::io_error::at_path;
use crate::quoting::quote;

/// Removes a file, a symbolic link or a directory with its content; succeeds if there is none. Directories without
/// write permission (such as those of Go's module cache) are made writable first. Links are not followed.
///
/// # Errors
/// An error that names the path.
pub fn remove(path: &Path) -> Result<()> {
    let result = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => match fs::remove_dir_all(path) {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                make_writable(path).and_then(|()| fs::remove_dir_all(path))
            }
            result => result,
        },
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match result {
        Err(error) if !is_absent(&error) => Err(at_path("remove", path, &error)),
        _ => Ok(()),
    }
}

fn make_writable(directory: &Path) -> io::Result<()> {
    let mode = fs::metadata(directory)?.permissions().mode();
    fs::set_permissions(directory, fs::Permissions::from_mode(mode | 0o700))?;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            make_writable(&entry.path())?;
        }
    }
    Ok(())
}

/// Renames within one filesystem and syncs the directory. Replaces a file or an empty directory that has the new name.
///
/// # Errors
/// An error that names both paths.
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(|error| at_path(&format!("rename {} to", from.display()), to, &error))?;
    sync_directory_of(to)
}

/// Renames a finished directory after its content was synced to the disk.
///
/// Without the sync a power cut could leave empty or truncated files in it, while others take the directory for
/// complete. One call syncs the whole filesystem: a toolchain has thousands of files, and a sync of each would take
/// long.
///
/// # Errors
/// An error that names a path; the directory has not been renamed then.
pub fn publish(from: &Path, to: &Path) -> Result<()> {
    publish_by(&sync_filesystem, from, to)
}

pub(super) fn publish_by(sync: &dyn Fn(&Path) -> Result<()>, from: &Path, to: &Path) -> Result<()> {
    sync(from)?;
    rename(from, to)
}

/// Syncs a filesystem. Reports earlier write errors, too (syncfs(2)).
fn sync_filesystem(path: &Path) -> Result<()> {
    let sync = || rustix::fs::syncfs(fs::File::open(path)?).map_err(io::Error::from);
    sync().map_err(|error| at_path("sync", path, &error))
}

/// Exchanges the names `new` and `name` atomically; renames `new` if nothing has the name. On a filesystem that cannot
/// exchange, what had the name is removed before the rename.
///
/// # Errors
/// An error that names both paths.
pub fn exchange(new: &Path, name: &Path) -> Result<()> {
    let here = rustix::fs::CWD;
    match rustix::fs::renameat_with(here, new, here, name, rustix::fs::RenameFlags::EXCHANGE) {
        Ok(()) => sync_directory_of(name),
        Err(Errno::NOENT) if !name.exists() => rename(new, name),
        Err(Errno::INVAL | Errno::NOSYS) => {
            remove(name)?;
            rename(new, name)
        }
        Err(error) => Err(at_path(&format!("rename {} to", new.display()), name, &error.into())),
    }
}

/// Renames the directory `new` to `name` if nothing has that name; whether it did.
///
/// # Errors
/// An error that names both paths.
pub fn rename_directory_if_free(new: &Path, name: &Path) -> Result<bool> {
    // rename(2) replaces no directory but an empty one.
    match rustix::fs::rename(new, name) {
        Ok(()) => sync_directory_of(name).map(|()| true),
        Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
        Err(error) => Err(at_path(&format!("rename {} to", new.display()), name, &error.into())),
    }
}

/// The command that moves a file away to a free name beside it, so that it overwrites nothing.
pub fn move_away(path: &Path) -> String {
    let beside = |number: u32| {
        let mut name = path.as_os_str().to_owned();
        name.push(if number == 1 { ".old".to_owned() } else { format!(".old{number}") });
        name
    };
    let is_free = |name: &OsString| Path::new(name).symlink_metadata().is_err();
    let name = (1..u32::MAX).map(beside).find(is_free).unwrap_or_else(|| beside(1));
    format!("mv {} {}", quote(path.as_os_str()), quote(&name))
}

/// Creates the symbolic link `link` to `target`.
///
/// # Errors
/// A State error if anything has that name, even another link; otherwise an error that names the path.
pub fn make_link(link: &Path, target: &Path) -> Result<()> {
    match symlink(target, link) {
        Ok(()) => sync_directory_of(link),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(Error::new(
            ErrorClass::State,
            format!("cannot make {} a symbolic link to {}", link.display(), target.display()),
        )
        .because("something else has this name")
        .next(move_away(link))),
        Err(error) => Err(at_path("create the link", link, &error)),
    }
}

/// Syncs a file, or the entries of a directory, to the disk.
///
/// # Errors
/// An error that names the path.
pub fn sync(path: &Path) -> Result<()> {
    fs::File::open(path).and_then(|file| file.sync_all()).map_err(|error| at_path("sync", path, &error))
}

/// Syncs the directory of `path`, so that a rename in it survives a power cut.
pub(super) fn sync_directory_of(path: &Path) -> Result<()> {
    let directory = directory_of(path);
    match File::open(directory).and_then(|directory| directory.sync_all()) {
        // Some network filesystems cannot sync a directory, and a directory may be writable but not readable.
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::PermissionDenied) => Ok(()),
        Err(error) => Err(at_path("sync the directory", directory, &error)),
        Ok(()) => Ok(()),
    }
}

pub(super) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
