//! Replaces files atomically: after a crash at any point a file has its old content or the new one, never a mixture.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use model::Result;
use rustix::fs::{AtFlags, CWD, OFlags, linkat, open};
use rustix::io::Errno;

use super::attributes;
use super::names::{directory_of, sync_directory_of};
use crate::io_error::at_path;

/// How many symbolic links in a row Linux follows (path_resolution(7)).
const MOST_LINKS: usize = 40;

/// The permission bits of a written file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Those of the replaced file; 0644 less the umask for a new file.
    Keep,
    /// Exactly these, whatever the umask.
    Exactly(u32),
}

/// Writes `path` atomically: an unnamed file in the same directory, fsync, a name, rename, fsync of the directory.
/// Symbolic links are followed: the target is replaced and the link stays. The owner of the replaced file is preserved
/// if the system allows it (for root). Other hard links retain the old content. Only for files of this tool; files of
/// the user need [`super::UserFile`].
///
/// # Errors
/// An error that names the path, with a next step if space or permission is lacking.
pub fn write_atomic(path: &Path, bytes: &[u8], mode: Mode) -> Result<()> {
    let target = follow_links(path).map_err(|error| at_path("write", path, &error))?;
    replace(&target, bytes, mode).map_err(|error| at_path("write", &target, &error))?;
    sync_directory_of(&target)
}

pub(super) fn replace(target: &Path, bytes: &[u8], mode: Mode) -> io::Result<()> {
    let replaced = present(target)?;
    let exact_mode = match (mode, &replaced) {
        (Mode::Exactly(mode), _) => Some(mode & 0o7777),
        (Mode::Keep, Some(replaced)) => Some(replaced.permissions().mode() & 0o7777),
        (Mode::Keep, None) => None,
    };
    if let Some(mut file) = create_unnamed(directory_of(target), exact_mode.unwrap_or(0o644))? {
        fill(&mut file, bytes, replaced.as_ref(), exact_mode)?;
        match put(&file, target, replaced.is_some()) {
            // Without /proc the file cannot get a name.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            result => return result,
        }
    }
    let (temporary, mut file) = create_temporary(target, exact_mode)?;
    let written = fill(&mut file, bytes, replaced.as_ref(), exact_mode).and_then(|()| fs::rename(&temporary, target));
    if written.is_err() {
        // The first error is the one to report.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// The file that would be replaced, if there is one.
///
/// # Errors
/// If it is not a regular file: a rename would replace a device or a pipe by a file.
pub(super) fn present(target: &Path) -> io::Result<Option<Metadata>> {
    match fs::symlink_metadata(target) {
        Ok(metadata) if metadata.is_dir() => Err(Errno::ISDIR.into()),
        Ok(metadata) if !metadata.is_file() => Err(io::Error::other("it is not a regular file")),
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Gives the unnamed file its final name: by a link if the name is free, else by a rename.
fn put(file: &File, target: &Path, replaces: bool) -> io::Result<()> {
    if !replaces {
        match give_name(file, target) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            result => return result,
        }
    }
    let (temporary, ()) = with_free_name(target, |name| give_name(file, name))?;
    fs::rename(&temporary, target).inspect_err(|_| {
        let _ = fs::remove_file(&temporary);
    })
}

fn fill(file: &mut File, bytes: &[u8], replaced: Option<&Metadata>, exact_mode: Option<u32>) -> io::Result<()> {
    file.write_all(bytes)?;
    if let Some(replaced) = replaced {
        attributes::keep_owner(file, replaced)?;
    }
    if let Some(mode) = exact_mode {
        // After the owner, because a change of owner clears the set-id bits. At creation the umask applied.
        file.set_permissions(fs::Permissions::from_mode(mode))?;
    }
    file.sync_all()
}

/// The file to which a write to `path` would go. It need not exist.
pub(super) fn follow_links(path: &Path) -> io::Result<PathBuf> {
    let mut place = path.to_owned();
    for _ in 0..MOST_LINKS {
        match fs::read_link(&place) {
            Ok(target) => place = directory_of(&place).join(target),
            Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::NotFound) => return Ok(place),
            Err(error) => return Err(error),
        }
    }
    Err(Errno::LOOP.into())
}

fn create_temporary(target: &Path, exact_mode: Option<u32>) -> io::Result<(PathBuf, File)> {
    with_free_name(target, |name| {
        OpenOptions::new().write(true).create_new(true).mode(exact_mode.unwrap_or(0o644)).open(name)
    })
}

/// Calls `create` with hidden names beside `path` until one is free.
fn with_free_name<T>(path: &Path, create: impl Fn(&Path) -> io::Result<T>) -> io::Result<(PathBuf, T)> {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let Some(own_name) = path.file_name() else { return Err(Errno::INVAL.into()) };
    loop {
        let mut name = OsString::from(".");
        name.push(own_name);
        name.push(format!(".{}-{}.tmp", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed)));
        let candidate = directory_of(path).join(name);
        match create(&candidate) {
            Ok(made) => return Ok((candidate, made)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

/// Creates an unnamed file on the filesystem of `directory`, open for writing. Returns `None` if the filesystem cannot
/// do that (NFS, FUSE, overlays of old kernels).
pub(super) fn create_unnamed(directory: &Path, mode: u32) -> io::Result<Option<File>> {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    match open(directory, flags, rustix::fs::Mode::from_raw_mode(mode)) {
        Ok(file) => Ok(Some(File::from(file))),
        // Kernels and filesystems without O_TMPFILE try to open the directory for writing (open(2)).
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOSYS) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Gives an unnamed file a name.
///
/// # Errors
/// `AlreadyExists` if the name is taken; `NotFound` without /proc, which is the only way to name the file.
pub(super) fn give_name(file: &File, name: &Path) -> io::Result<()> {
    let this = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(linkat(CWD, this, CWD, name, AtFlags::SYMLINK_FOLLOW)?)
}
