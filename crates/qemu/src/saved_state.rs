//! A saved VM as a thing on disk: a directory with its RAM, its device state, its frozen disk, and `saved-state.json`, which
//! says what they fit. Templates and snapshots are such directories.
//!
//! A directory has its name only once everything in it is complete and on the disk, and is never written to again. It
//! knows nothing of what the guest runs, and of the age at which a cluster's certificates end.

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
/// What a saved_state is called where its lock is waited for.
const NAME: &str = "the saved VM";
/// What the name of an new_state directory ends with.
const UNFINISHED: &str = ".new_state";

/// `saved-state.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Description {
    schema: u32,
    /// Of the RAM and the state, which have it in their names, and of the disk, which has it in its name in the pool.
    generation: Generation,
    /// Seconds since 1970.
    created: u64,
    /// Sizes of the files in bytes; that of the RAM is the VM's.
    ram: u64,
    state: u64,
    disk: u64,
    /// [`CompatibilityKey::key`] of those below, for people.
    key: String,
    compatibility_key: CompatibilityKey,
}

/// A directory that is being made. Dropped, it is gone with all that is in it; that of a process that was killed goes at
/// the next [`sweep`].
#[derive(Debug)]
pub struct NewSavedState {
    directory: tempfile::TempDir,
    paths: SavedStatePaths,
    generation: Generation,
    target: PathBuf,
    /// Locked, so that a sweep tells the directory from one whose maker is dead.
    _lock: FileLock,
}

impl NewSavedState {
    /// Makes the directory beside `target`, the name that it is to have; 0700.
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
            // A sweep may have come first.
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

    /// What is to stand in all its parts.
    pub fn generation(&self) -> &Generation {
        &self.generation
    }

    /// Where the RAM is to be put.
    pub fn ram(&self) -> PathBuf {
        self.paths.ram(&self.generation)
    }

    /// Where the state of the devices is to be put.
    pub fn state(&self) -> PathBuf {
        self.paths.state(&self.generation)
    }

    /// Puts a frozen disk there, by another name of the same file: the disk is never only here.
    ///
    /// # Errors
    /// An error that names the path; a disk on another filesystem cannot be linked.
    pub fn link_disk(&self, frozen: &Path) -> Result<()> {
        std::fs::hard_link(frozen, self.paths.disk()).map_err(|error| at_path("link", frozen, &error))
    }

    /// Writes everything to the disk, takes away the permission to write, and gives the directory its name. What had the name is
    /// there until this one is, and gone then; whoever is about to restore it is waited for, for `patience` at most. RAM that
    /// was synced shortly before makes it quick.
    ///
    /// # Errors
    /// Failed when a file is missing or RAM is not of `memory` bytes; State when the former one is in use for too long; a
    /// error that names the path.
    pub fn replace(
        self,
        memory: u64,
        compatibility_key: &CompatibilityKey,
        patience: Duration,
        events: &dyn EventSink,
    ) -> Result<SavedState> {
        let description = self.complete(memory, compatibility_key)?;
        let _nobody_restores = exclusively(&self.target, patience, events)?;
        // What had the name has that of this directory now, and goes as one that was not sealed.
        files::exchange(self.directory.path(), &self.target)?;
        Ok(SavedState { paths: SavedStatePaths::new(&self.target), description })
    }

    fn complete(&self, memory: u64, compatibility_key: &CompatibilityKey) -> Result<Description> {
        // QEMU before 8.2 opens for writing also what it maps privately.
        let ram_is_opened_for_writing =
            workarounds::applying(compatibility_key.version(), compatibility_key.accelerator())
                .any(|workaround| workaround.change == Change::WritablePrivateRam);
        let ram = settle(&self.ram(), if ram_is_opened_for_writing { 0o600 } else { 0o400 })?;
        if ram != memory {
            return Err(Error::new(ErrorClass::Failed, format!("{} is incomplete", self.ram().display()))
                .because(format!("it has {ram} bytes, the VM has {memory}")));
        }
        let description = Description {
            schema: SCHEMA,
            generation: self.generation.clone(),
            created: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
            ram,
            state: settle(&self.state(), 0o400)?,
            disk: settle(&self.paths.disk(), 0o400)?,
            key: compatibility_key.key(),
            compatibility_key: compatibility_key.clone(),
        };
        let text = serde_json::to_vec_pretty(&description)
            .map_err(|error| Error::new(ErrorClass::Failed, "cannot describe the saved_state").because(error))?;
        files::write_atomic(&self.paths.description(), &text, Mode::Exactly(0o400))?;
        Ok(description)
    }
}

/// A sealed directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedState {
    paths: SavedStatePaths,
    description: Description,
}

impl SavedState {
    /// The one at `directory`.
    ///
    /// # Errors
    /// Why there is none that can be used, as a part of a sentence ("there is none"); it is never worth a failure.
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

    /// Whether it can be restored with what is there now.
    ///
    /// # Errors
    /// What differs, as a part of a sentence.
    pub fn fits(&self, now: &CompatibilityKey) -> Result<(), String> {
        self.description.compatibility_key.difference(now).map_or(Ok(()), Err)
    }

    /// Its files.
    pub fn paths(&self) -> &SavedStatePaths {
        &self.paths
    }

    /// What stands in all its parts, and in no other saved_state.
    pub fn generation(&self) -> &Generation {
        &self.description.generation
    }

    /// Its RAM.
    pub fn ram(&self) -> PathBuf {
        self.paths.ram(self.generation())
    }

    /// The state of its devices.
    pub fn state(&self) -> PathBuf {
        self.paths.state(self.generation())
    }

    /// Keeps it in its place until [`HeldSavedState`] is dropped: until then nobody replaces or removes it.
    ///
    /// # Errors
    /// [`NotHeld::Replaced`] where this one is no longer there; errors of the lock.
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

    /// How long ago it was made; nothing where the host's clock has gone back behind that.
    pub fn age(&self) -> Option<Duration> {
        let created = UNIX_EPOCH.checked_add(Duration::from_secs(self.description.created))?;
        SystemTime::now().duration_since(created).ok()
    }

    /// When it was made, in seconds since 1970.
    pub fn created(&self) -> u64 {
        self.description.created
    }

    /// The bytes that it takes on the disk.
    pub fn disk_usage(&self) -> u64 {
        usage(self.paths.dir())
    }
}

/// A saved_state that nobody replaces or removes as long as this lives.
#[derive(Debug)]
pub struct HeldSavedState {
    saved_state: SavedState,
    _lock: FileLock,
}

impl HeldSavedState {
    /// The saved_state.
    pub fn saved_state(&self) -> &SavedState {
        &self.saved_state
    }
}

/// Why a saved_state is not restored.
#[derive(Debug)]
pub enum NotHeld {
    /// Another one has its place now, or none.
    Replaced,
    /// Somebody replaces or removes it, and has not done so in time.
    InUse(Error),
    /// Another error.
    Error(Error),
}

/// Removes a sealed directory, first what makes it one, so that nobody takes the rest for whole. Whoever is about to restore it
/// is waited for.
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

/// Keeps others from the directory, where there is one.
fn exclusively(directory: &Path, patience: Duration, events: &dyn EventSink) -> Result<Option<FileLock>> {
    FileLock::acquire_existing(directory, Sharing::Alone, NAME, patience, events)
}

/// The bytes that the files of a directory of this kind take on the disk.
pub fn usage(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|file| file.metadata().ok()).map(|metadata| files::on_disk(&metadata)).sum()
}

/// What a [`sweep`] removed, or would.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Directories.
    pub directories: usize,
    /// Bytes that they took on the disk, without a disk that is elsewhere, too.
    pub bytes: u64,
}

/// Removes directories in `parent` whose makers are dead, or looks what it would remove (`dry_run`).
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
        // One that is gone meanwhile, or whose maker lives, is left alone.
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

/// The lock of an new_state directory; nothing where it is gone or another process has it.
fn lock(directory: &Path) -> Result<Option<FileLock>> {
    match FileLock::acquire_existing(directory, Sharing::Alone, "a directory that is made", Duration::ZERO, &Silent) {
        Err(error) if error.class() == ErrorClass::State => Ok(None),
        result => result,
    }
}

/// Makes a file last and read-only; its size.
fn settle(path: &Path, mode: u32) -> Result<u64> {
    let failed = |error| at_path("complete", path, &error);
    let file = File::open(path).map_err(failed)?;
    file.set_permissions(Permissions::from_mode(mode)).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    Ok(file.metadata().map_err(failed)?.len())
}

#[cfg(test)]
mod tests;
