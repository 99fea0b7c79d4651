//! Saved states: directories with RAM, device state, disk, and `saved-state.json`, which has the compatibility key. Templates
//! and snapshots are such directories.
//!
//! A directory gets its name once everything in it is complete and on the disk, and is never written to again. This module
//! does not know what the guest runs, nor when a cluster's certificates expire.

mod compatibility_key;

use std::fs::{File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use host::files::{self, Mode};
use host::io_error::at_path;
use host::lock::{Attempt, FileLock, Sharing};
use model::event::Silent;
use model::paths::SavedStatePaths;
use model::{Error, ErrorClass, EventSink, Generation, Result};
use serde::{Deserialize, Serialize};

use crate::qcow2::new_generation;
use crate::workarounds::{self, Change};

pub use compatibility_key::{CompatibilityKey, FileStamp};

/// The version of `saved-state.json`; another one is not understood.
const SCHEMA: u32 = 2;
/// The name of a saved state in messages of its lock.
const NAME: &str = "the saved VM";
/// The end of the name of a directory that is not complete yet.
const UNFINISHED: &str = ".unfinished";

/// `saved-state.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Description {
    schema: u32,
    /// The generation of RAM, device state and disk. The first two have it in their names, the disk in its header.
    generation: Generation,
    /// The time of the save, in seconds since 1970.
    created: u64,
    /// The sizes of the files in bytes; the RAM file has the size of the VM's RAM.
    ram: u64,
    state: u64,
    disk: u64,
    /// [`CompatibilityKey::key`], for people.
    key: String,
    compatibility_key: CompatibilityKey,
}

/// A saved state that is being made. When it is dropped, its directory is removed. [`sweep`] removes the directory of a
/// process that was killed.
#[derive(Debug)]
pub struct NewSavedState {
    directory: tempfile::TempDir,
    paths: SavedStatePaths,
    generation: Generation,
    target: PathBuf,
    /// It shows a sweep that the process that makes the directory lives.
    _lock: FileLock,
}

impl NewSavedState {
    /// Creates the directory, with mode 0700, beside `target`, the path that the saved state will have.
    ///
    /// # Errors
    /// An error that names the directory.
    pub fn begin(target: &Path) -> Result<Self> {
        let parent = target.parent().unwrap_or(Path::new("."));
        files::create_private_dir(parent)?;
        let failed = |error| at_path("create a directory in", parent, &error);
        loop {
            let directory = tempfile::Builder::new()
                .prefix(".")
                .suffix(UNFINISHED)
                .permissions(Permissions::from_mode(0o700))
                .tempdir_in(parent)
                .map_err(failed)?;
            // A sweep may have removed it already.
            if let Some(lock) = lock(directory.path())? {
                let paths = SavedStatePaths::new(directory.path());
                return Ok(NewSavedState {
                    directory,
                    paths,
                    generation: new_generation(),
                    target: target.to_owned(),
                    _lock: lock,
                });
            }
        }
    }

    /// Its files.
    pub fn paths(&self) -> &SavedStatePaths {
        &self.paths
    }

    /// The generation that all its parts must have.
    pub fn generation(&self) -> &Generation {
        &self.generation
    }

    /// The path for the RAM.
    pub fn ram(&self) -> PathBuf {
        self.paths.ram(&self.generation)
    }

    /// The path for the device state.
    pub fn state(&self) -> PathBuf {
        self.paths.state(&self.generation)
    }

    /// Adds the disk, a backing file, as a hard link: the saved state never has the only name of the file.
    ///
    /// # Errors
    /// An error that names the path; a disk on another filesystem cannot be linked.
    pub fn link_disk(&self, disk: &Path) -> Result<()> {
        std::fs::hard_link(disk, self.paths.disk()).map_err(|error| at_path("link", disk, &error))
    }

    /// Syncs the files, write-protects them, and gives the directory its name, in place of the saved state that had the name,
    /// which is removed. Waits for `patience` at most for processes that restore the old one. It is fast where the RAM was
    /// synced before.
    ///
    /// # Errors
    /// Failed when a file is missing or the RAM is not `memory` bytes long; State when the old one stays in use; an error that
    /// names the path.
    pub fn replace(
        self,
        memory: u64,
        compatibility_key: &CompatibilityKey,
        patience: Duration,
        events: &dyn EventSink,
    ) -> Result<SavedState> {
        let description = self.complete(memory, compatibility_key)?;
        loop {
            if let Some(_alone) = exclusively(&self.target, patience, events)? {
                // The old one has the name of this directory now, and is removed with it.
                files::exchange(self.directory.path(), &self.target)?;
                break;
            }
            // Another process may have saved one since, and a third may be restoring it.
            if files::rename_directory_if_free(self.directory.path(), &self.target)? {
                break;
            }
        }
        Ok(SavedState { paths: SavedStatePaths::new(&self.target), description })
    }

    fn complete(&self, memory: u64, compatibility_key: &CompatibilityKey) -> Result<Description> {
        // QEMU before 8.2 opens even a file that it maps privately for writing.
        let ram_is_opened_for_writing =
            workarounds::applying(compatibility_key.version(), compatibility_key.accelerator())
                .any(|workaround| workaround.change == Change::WritablePrivateRam);
        let ram = make_durable(&self.ram(), if ram_is_opened_for_writing { 0o600 } else { 0o400 })?;
        if ram != memory {
            return Err(Error::new(ErrorClass::Failed, format!("{} is incomplete", self.ram().display()))
                .because(format!("it has {ram} bytes, the VM has {memory}")));
        }
        let description = Description {
            schema: SCHEMA,
            generation: self.generation.clone(),
            created: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
            ram,
            state: make_durable(&self.state(), 0o400)?,
            disk: make_durable(&self.paths.disk(), 0o400)?,
            key: compatibility_key.key(),
            compatibility_key: compatibility_key.clone(),
        };
        let text = serde_json::to_vec_pretty(&description)
            .map_err(|error| Error::new(ErrorClass::Failed, "cannot describe the saved state").because(error))?;
        files::write_atomic(&self.paths.description(), &text, Mode::Exactly(0o400))?;
        Ok(description)
    }
}

/// A saved state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedState {
    paths: SavedStatePaths,
    description: Description,
}

impl SavedState {
    /// Opens the saved state at `directory`.
    ///
    /// # Errors
    /// Why there is none that can be used, as a part of a sentence ("there is none").
    pub fn open(directory: &Path) -> Result<Self, String> {
        let paths = SavedStatePaths::new(directory);
        let text = match files::read_optional(&paths.description()) {
            Ok(Some(text)) => text,
            Ok(None) => return Err("there is none".to_owned()),
            Err(error) => return Err(error.to_string()),
        };
        let description: Description = match serde_json::from_slice(&text) {
            Ok(description) => description,
            Err(_) => return Err("it was made by another version of k3s-vm, or is damaged".to_owned()),
        };
        if description.schema != SCHEMA {
            return Err("it was made by another version of k3s-vm".to_owned());
        }
        let generation = &description.generation;
        for (path, expected) in [
            (paths.ram(generation), description.ram),
            (paths.state(generation), description.state),
            (paths.disk(), description.disk),
        ] {
            match path.metadata() {
                Ok(metadata) if metadata.len() == expected => {}
                Ok(metadata) => {
                    return Err(format!("{} has {} of its {expected} bytes", path.display(), metadata.len()));
                }
                Err(error) => return Err(format!("{}: {}", path.display(), host::io_error::text(&error))),
            }
        }
        Ok(SavedState { paths, description })
    }

    /// Checks that it can be restored under the compatibility key `now`.
    ///
    /// # Errors
    /// The difference, as a part of a sentence.
    pub fn fits(&self, now: &CompatibilityKey) -> Result<(), String> {
        self.description.compatibility_key.difference(now).map_or(Ok(()), Err)
    }

    /// Its files.
    pub fn paths(&self) -> &SavedStatePaths {
        &self.paths
    }

    /// The generation of all its parts, which no other saved state has.
    pub fn generation(&self) -> &Generation {
        &self.description.generation
    }

    /// The path of its RAM.
    pub fn ram(&self) -> PathBuf {
        self.paths.ram(self.generation())
    }

    /// The path of its device state.
    pub fn state(&self) -> PathBuf {
        self.paths.state(self.generation())
    }

    /// Locks it, so that nobody replaces or removes it before the [`HeldSavedState`] is dropped.
    ///
    /// # Errors
    /// [`NotHeld::Replaced`] when it was replaced or removed; errors of the lock.
    pub fn hold(&self, patience: Duration, events: &dyn EventSink) -> Result<HeldSavedState, NotHeld> {
        let lock = FileLock::acquire_existing(self.paths.dir(), Sharing::Shared, NAME, patience, events);
        let not_held = |error: Error| match error.class() {
            ErrorClass::State => NotHeld::InUse(error),
            _ => NotHeld::Error(error),
        };
        let Some(lock) = lock.map_err(not_held)? else { return Err(NotHeld::Replaced) };
        match SavedState::open(self.paths.dir()) {
            Ok(now) if now.generation() == self.generation() => Ok(HeldSavedState { saved_state: now, _lock: lock }),
            _ => Err(NotHeld::Replaced),
        }
    }

    /// Its age; `None` where it is in the future by the host's clock.
    pub fn age(&self) -> Option<Duration> {
        let created = UNIX_EPOCH.checked_add(Duration::from_secs(self.description.created))?;
        SystemTime::now().duration_since(created).ok()
    }

    /// The time of the save, in seconds since 1970.
    pub fn created(&self) -> u64 {
        self.description.created
    }

    /// The space that it takes on the disk, in bytes.
    pub fn disk_usage(&self) -> u64 {
        usage(self.paths.dir())
    }
}

/// A locked saved state: nobody replaces or removes it before this is dropped.
#[derive(Debug)]
pub struct HeldSavedState {
    saved_state: SavedState,
    _lock: FileLock,
}

impl HeldSavedState {
    /// The saved state.
    pub fn saved_state(&self) -> &SavedState {
        &self.saved_state
    }
}

/// Why a saved state cannot be locked.
#[derive(Debug)]
pub enum NotHeld {
    /// It was replaced or removed.
    Replaced,
    /// Another process replaces or removes it, and is not done in time.
    InUse(Error),
    /// Another error.
    Error(Error),
}

/// Removes a saved state, its description first, so that nobody takes the rest for a complete one. Waits for processes that
/// restore it.
///
/// # Errors
/// State when it is in use for longer than `patience`; an error that names the path.
pub fn remove(directory: &Path, patience: Duration, events: &dyn EventSink) -> Result<()> {
    let _nobody_restores = exclusively(directory, patience, events)?;
    remove_locked(directory)
}

/// As [`remove`], without waiting. Returns whether it was removed: false when it is in use.
///
/// # Errors
/// An error that names the path.
pub fn try_remove(directory: &Path) -> Result<bool> {
    match FileLock::try_acquire_existing(directory, Sharing::Alone)? {
        Attempt::InUse => Ok(false),
        Attempt::Missing => Ok(true),
        Attempt::Locked(_lock) => remove_locked(directory).map(|()| true),
    }
}

fn remove_locked(directory: &Path) -> Result<()> {
    files::remove(&SavedStatePaths::new(directory).description())?;
    files::remove(directory)
}

/// Locks the directory, if there is one.
fn exclusively(directory: &Path, patience: Duration, events: &dyn EventSink) -> Result<Option<FileLock>> {
    FileLock::acquire_existing(directory, Sharing::Alone, NAME, patience, events)
}

/// The space that the files of such a directory take on the disk, in bytes.
pub fn usage(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|file| file.metadata().ok()).map(|metadata| files::on_disk(&metadata)).sum()
}

/// What a [`sweep`] has removed, or would remove.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// The number of directories.
    pub directories: usize,
    /// The space that they took on the disk in bytes, without disks that have another name elsewhere.
    pub bytes: u64,
}

/// Removes unfinished directories in `parent` whose process has ended; with `dry_run` it only counts them.
///
/// # Errors
/// An error that names the path.
pub fn sweep(parent: &Path, dry_run: bool) -> Result<Swept> {
    let Ok(entries) = std::fs::read_dir(parent) else { return Ok(Swept::default()) };
    let mut swept = Swept::default();
    for entry in entries.filter_map(std::io::Result::ok) {
        let path = entry.path();
        if !entry.file_name().to_string_lossy().ends_with(UNFINISHED) {
            continue;
        }
        // Not a directory that is gone meanwhile or whose process lives.
        if let Ok(Some(_lock)) = lock(&path) {
            swept.directories += 1;
            let disk = SavedStatePaths::new(&path).disk().metadata();
            let elsewhere = disk.ok().filter(|disk| disk.nlink() > 1).map_or(0, |disk| files::on_disk(&disk));
            swept.bytes += usage(&path).saturating_sub(elsewhere);
            if !dry_run {
                files::remove(&path)?;
            }
        }
    }
    Ok(swept)
}

/// The lock of an unfinished directory; `None` where it is gone or another process has locked it.
fn lock(directory: &Path) -> Result<Option<FileLock>> {
    match FileLock::acquire_existing(directory, Sharing::Alone, "an unfinished saved state", Duration::ZERO, &Silent) {
        Err(error) if error.class() == ErrorClass::State => Ok(None),
        result => result,
    }
}

/// Sets the mode of a file and syncs it; returns its size.
fn make_durable(path: &Path, mode: u32) -> Result<u64> {
    let failed = |error| at_path("complete", path, &error);
    let file = File::open(path).map_err(failed)?;
    file.set_permissions(Permissions::from_mode(mode)).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    Ok(file.metadata().map_err(failed)?.len())
}

#[cfg(test)]
mod tests;
