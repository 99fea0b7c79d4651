//! Files: atomic writes, private directories, and errors that name the path.
//!
//! It knows paths and bytes, not what they mean.

mod atomic;
mod attributes;
mod journal;
mod tail;
mod user_file;

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

use model::{Error, ErrorClass, Result};
use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::io_error::at_path;

pub use atomic::{make_link, write_atomic};
pub use journal::recover;
pub(crate) use tail::last_lines;
pub use tail::tail;
pub use user_file::{UserFile, Written, in_open_directory};

/// The permission bits of a file that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Those of the file that is replaced; 0644 less the umask where there is none.
    Keep,
    /// Exactly these.
    Exactly(u32),
}

/// The content, or nothing where the file does not exist.
///
/// # Errors
/// An error that names the path.
pub fn read_optional(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(at_path("read", path, &error)),
    }
}

/// The content as text, or nothing where the file does not exist; invalid UTF-8 is an error that names the line.
///
/// # Errors
/// An error that names the path; of class Config where the file is no UTF-8.
pub fn read_text_optional(path: &Path) -> Result<Option<String>> {
    let Some(bytes) = read_optional(path)? else { return Ok(None) };
    String::from_utf8(bytes).map(Some).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count();
        Error::new(ErrorClass::Config, format!("{} is not valid UTF-8", path.display()))
            .because(format!("line {line} has bytes that are no text"))
            .next(format!("save {} as UTF-8", path.display()))
    })
}

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

/// Writes to the disk what the system holds of a file, or of the names in a directory.
///
/// # Errors
/// An error that names the path.
pub fn sync(path: &Path) -> Result<()> {
    fs::File::open(path).and_then(|file| file.sync_all()).map_err(|error| at_path("complete", path, &error))
}

/// Removes a file, a link or a whole directory; one that is not there is success. Directories without write permission
/// (such as those of Go's module cache) are made writable first. A link is removed, never what it points to.
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

/// Renames within one filesystem; what has the new name already is replaced, an empty directory also.
///
/// # Errors
/// An error that names both paths.
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(|error| at_path(&format!("rename {} to", from.display()), to, &error))?;
    atomic::sync_directory_of(to)
}

/// Gives a finished directory its name: all that is in it is on the disk before, and the name itself after.
///
/// Without this a power cut would leave files that are empty or cut off under the name, for everybody who looks only
/// whether it is there. The whole filesystem is written, in one call: a toolchain has thousands of files, each of which
/// would have to be waited for.
///
/// # Errors
/// An error that names a path; nothing has the new name then.
pub fn publish(from: &Path, to: &Path) -> Result<()> {
    publish_by(&sync_filesystem, from, to)
}

fn publish_by(sync: &dyn Fn(&Path) -> Result<()>, from: &Path, to: &Path) -> Result<()> {
    sync(from)?;
    rename(from, to)
}

/// Errors of writing that came up since the filesystem was last synced are reported, too (syncfs(2)).
fn sync_filesystem(path: &Path) -> Result<()> {
    let sync = || rustix::fs::syncfs(fs::File::open(path)?).map_err(io::Error::from);
    sync().map_err(|error| at_path("complete", path, &error))
}

/// Gives `new` the name `name`, and what has that name the name of `new`, both at once; where nothing has it, this is a
/// rename. A filesystem that cannot do that loses what had the name a moment before.
///
/// # Errors
/// An error that names both paths.
pub fn exchange(new: &Path, name: &Path) -> Result<()> {
    let here = rustix::fs::CWD;
    match rustix::fs::renameat_with(here, new, here, name, rustix::fs::RenameFlags::EXCHANGE) {
        Ok(()) => atomic::sync_directory_of(name),
        Err(Errno::NOENT) if !name.exists() => rename(new, name),
        Err(Errno::INVAL | Errno::NOSYS) => {
            remove(name)?;
            rename(new, name)
        }
        Err(error) => Err(at_path(&format!("rename {} to", new.display()), name, &error.into())),
    }
}

/// The bytes that a file takes on the disk, which are fewer than its length where it has holes.
pub fn on_disk(metadata: &fs::Metadata) -> u64 {
    // st_blocks counts units of 512 bytes whatever the filesystem (stat(2)).
    metadata.blocks() * 512
}

/// Bytes free for this user on the filesystem that holds `path` (or its nearest parent that exists).
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

/// A file below something that is no directory does not exist either.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests;
