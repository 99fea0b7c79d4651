//! Writes a file that belongs to the user: only its content changes, and a run that is killed leaves nothing beside it.
//!
//! The file is replaced atomically if the new one can have the same metadata. Otherwise it is written in place, while a
//! journal holds its former content: if it is a mount point (container engines mount single files), its directory is
//! not writable, it has other hard links, or this user cannot set its owner or attributes.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use model::Result;
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::atomic::{self, Mode, follow_links, present, replace};
use super::attributes;
use super::journal::{Journal, overwrite};
use super::names::{directory_of, sync_directory_of};
use crate::io_error::at_path;

/// The name of the new file in the scratch directory, until it replaces the old one.
const STAGED: &str = "user-file.tmp";

/// How a file was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// A new file has replaced it.
    Replaced,
    /// The same file was overwritten.
    InPlace,
}

/// A file of the user that is to be written. The caller holds a lock, so that no other run writes it or uses `scratch`.
#[derive(Debug, Clone, Copy)]
pub struct UserFile<'a> {
    /// The path.
    pub path: &'a Path,
    /// The path in messages. It differs from `path` if that is one from [`super::in_open_directory`].
    pub shown: &'a Path,
    /// Whether symbolic links are followed; if not, a link is an error.
    pub follow: bool,
    /// An existing private directory for the new content and the journal.
    pub scratch: &'a Path,
}

impl<'a> UserFile<'a> {
    /// The file at `path`, with symbolic links followed.
    pub fn new(path: &'a Path, scratch: &'a Path) -> Self {
        UserFile { path, shown: path, follow: true, scratch }
    }

    /// Writes the file; creates it with `mode` if it does not exist.
    ///
    /// # Errors
    /// An error that names the path; the file is unchanged then.
    pub fn write(&self, bytes: &[u8], mode: Mode) -> Result<Written> {
        let failed = |path: &Path, error: &io::Error| at_path("write", path, error);
        let target = if self.follow { follow_links(self.path) } else { Ok(self.path.to_owned()) }
            .map_err(|error| failed(self.shown, &error))?;
        let shown = if self.follow { &target } else { self.shown };
        let written = self.write_to(&target, shown, bytes, mode).map_err(|error| failed(shown, &error))?;
        if written == Written::Replaced {
            sync_directory_of(&target)?;
        }
        Ok(written)
    }

    fn write_to(&self, target: &Path, shown: &Path, bytes: &[u8], mode: Mode) -> io::Result<Written> {
        let Some(facts) = present(target)? else {
            return replace(target, bytes, mode).map(|()| Written::Replaced);
        };
        if facts.nlink() == 1 {
            let beside = directory_of(target).join(temporary_name(target));
            for temporary in [self.scratch.join(STAGED), beside] {
                match stage(&temporary, target, bytes, mode) {
                    Ok(Staged::Done) => return Ok(Written::Replaced),
                    Ok(Staged::WouldDiffer) => break,
                    // The scratch directory is on another filesystem: try beside the file.
                    Err(error) if error.kind() == ErrorKind::CrossesDevices => {}
                    Err(error) if forbids_replacing(&error) => break,
                    Err(error) => return Err(error),
                }
            }
        }
        self.write_in_place(target, shown, bytes, mode).map(|()| Written::InPlace)
    }

    fn write_in_place(&self, target: &Path, shown: &Path, bytes: &[u8], mode: Mode) -> io::Result<()> {
        let no_link = OFlags::NOFOLLOW.bits().cast_signed();
        let mut file = OpenOptions::new().read(true).write(true).custom_flags(no_link).open(target)?;
        let mut former = Vec::new();
        file.read_to_end(&mut former)?;
        let journal = Journal::begin(self.scratch, shown, &former, bytes)?;
        if let Err(error) = overwrite(&file, former.len(), bytes) {
            // The former content fits, because it did before.
            overwrite(&file, bytes.len(), &former)?;
            journal.end()?;
            return Err(error);
        }
        if let Mode::Exactly(mode) = mode {
            file.set_permissions(fs::Permissions::from_mode(mode))?;
        }
        journal.end()
    }

    /// Removes temporary files that killed runs left beside the file and in `scratch`.
    pub fn sweep(&self) {
        let target = if self.follow { follow_links(self.path) } else { Ok(self.path.to_owned()) };
        let target = target.unwrap_or_else(|_| self.path.to_owned());
        let directory = directory_of(&target);
        let (Some(own_name), Ok(entries)) = (target.file_name(), fs::read_dir(directory)) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let is_ours = name == temporary_name(&target) || is_of_a_former_version(&name, own_name);
            if is_ours && entry.file_type().is_ok_and(|kind| kind.is_file()) {
                // An error is harmless: the next run tries again.
                let _ = fs::remove_file(directory.join(name));
            }
        }
        let _ = fs::remove_file(self.scratch.join(STAGED));
    }
}

enum Staged {
    Done,
    WouldDiffer,
}

/// Writes an unnamed file, names it `temporary` and renames it to `target`.
fn stage(temporary: &Path, target: &Path, bytes: &[u8], mode: Mode) -> io::Result<Staged> {
    let old = File::open(target)?;
    match fs::remove_file(temporary) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let unnamed = atomic::create_unnamed(directory_of(temporary), 0o600)?;
    let (mut file, has_name) = match unnamed {
        Some(file) => (file, false),
        None => (OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary)?, true),
    };
    let result = (|| {
        file.write_all(bytes)?;
        if !attributes::copy(&old, &file)? {
            return Ok(Staged::WouldDiffer);
        }
        if let Mode::Exactly(mode) = mode {
            file.set_permissions(fs::Permissions::from_mode(mode))?;
        }
        file.sync_all()?;
        if !has_name {
            atomic::give_name(&file, temporary)?;
        }
        fs::rename(temporary, target).map(|()| Staged::Done)
    })();
    if !matches!(result, Ok(Staged::Done)) {
        let _ = fs::remove_file(temporary);
    }
    result
}

/// Whether the error says that the file cannot be replaced: it is a mount point (`EBUSY`), its directory is not
/// writable or has the sticky bit, or there is no /proc.
fn forbids_replacing(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::BUSY | Errno::ACCESS | Errno::PERM | Errno::ROFS | Errno::XDEV | Errno::NOENT))
}

/// A hidden name that ignore patterns for `.env` (`.env*`, `.env.*`) and for temporary files (`*.tmp`) match.
fn temporary_name(target: &Path) -> OsString {
    let own_name = target.file_name().unwrap_or_default();
    let mut name = OsString::from(if own_name.as_encoded_bytes().starts_with(b".") { "" } else { "." });
    name.push(own_name);
    name.push(".k3s-vm.tmp");
    name
}

/// Whether it is `.NAME.PID-NUMBER.tmp`, from a former version or from [`atomic::write_atomic`].
fn is_of_a_former_version(name: &OsStr, own_name: &OsStr) -> bool {
    let is_number = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let name = name.as_encoded_bytes().strip_prefix(b".");
    let numbers = name
        .and_then(|name| name.strip_prefix(own_name.as_encoded_bytes()))
        .and_then(|rest| rest.strip_prefix(b".")?.strip_suffix(b".tmp"));
    numbers.is_some_and(|numbers| {
        let mut parts = numbers.split(|byte| *byte == b'-');
        parts.next().is_some_and(is_number) && parts.next().is_some_and(is_number) && parts.next().is_none()
    })
}

#[cfg(test)]
mod tests;
