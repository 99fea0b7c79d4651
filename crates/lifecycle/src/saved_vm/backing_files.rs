//! The pool: the frozen disks of a project (`.k3s-vm/disks/`), on which disks of instances and of saved VMs are overlays.
//!
//! A frozen disk is never written to, and has here the name by which overlays find it. It knows chains of disks, not what
//! is on them, nor what the instances do.

mod chain;
mod collect;
mod room;
mod shorten;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use host::files;
use host::io_error::at_path;
use host::lock::FileLock;
use model::paths::ProjectPaths;
use model::{EventSink, Generation, Result};
use qemu::qcow2;

pub use chain::Chain;
pub use collect::Collected;
pub use room::check_room;
pub use shorten::{shorten_running, shorten_stopped};

/// How long whoever has no configuration waits for another one that works on the pool; all do so for moments.
const PATIENCE: Duration = Duration::from_secs(30 * 60);
/// What names of frozen disks end with.
const SUFFIX: &str = "qcow2";

/// The pool of a project.
#[derive(Debug, Clone)]
pub struct Pool {
    project: ProjectPaths,
    directory: PathBuf,
    /// How long its lock is waited for.
    patience: Duration,
}

impl Pool {
    /// That of this project; it need not exist.
    pub fn of(project: &ProjectPaths) -> Self {
        Pool { project: project.clone(), directory: project.disks(), patience: PATIENCE }
    }

    /// The same, whose lock is waited for so long.
    #[must_use]
    pub fn waiting(self, patience: Duration) -> Self {
        Pool { patience, ..self }
    }

    /// Takes the pool for oneself. It is held from before a disk is frozen, or chosen as a base, until what needs it has
    /// its name in place: otherwise a collection could come between.
    ///
    /// # Errors
    /// A State error that names the holder when it is not released in time; an error that names the path.
    pub fn lock(&self, events: &dyn EventSink) -> Result<LockedPool> {
        files::create_private_dir(&self.directory)?;
        let lock =
            FileLock::acquire(&self.directory.join("lock"), "the project's frozen disks", self.patience, events)?;
        Ok(LockedPool { pool: self.clone(), _lock: lock })
    }

    /// Its frozen disks.
    fn disks(&self) -> Result<Vec<Frozen>> {
        let mut disks = Vec::new();
        for path in entries(&self.directory)? {
            if path.extension().is_some_and(|suffix| suffix == SUFFIX) {
                let metadata = path.symlink_metadata().map_err(|error| at_path("look at", &path, &error))?;
                disks.push(Frozen { file: File::of(&metadata), links: metadata.nlink(), path });
            }
        }
        Ok(disks)
    }
}

/// The pool while nobody else changes it.
#[derive(Debug)]
pub struct LockedPool {
    pool: Pool,
    _lock: FileLock,
}

impl LockedPool {
    /// The name of the frozen disk of this generation.
    pub fn name_of(&self, generation: &Generation) -> PathBuf {
        self.pool.directory.join(format!("{generation}.{SUFFIX}"))
    }

    /// Makes `disk`, whole or not at all: an overlay that is `frozen`, a name of this pool, until something is written
    /// to it. A disk that is there is replaced.
    ///
    /// # Errors
    /// Failed when `frozen` is no disk; an error that names the path.
    pub fn overlay(&self, frozen: &Path, disk: &Path) -> Result<()> {
        qcow2::create_overlay(disk, frozen, qcow2::header(frozen)?.virtual_size)
    }

    /// The frozen disk of a saved VM in the pool, where `saved` gets the name if it has been removed or was not copied.
    ///
    /// # Errors
    /// An error that names the path.
    pub fn frozen(&self, saved: &Path, generation: &Generation) -> Result<PathBuf> {
        let name = self.name_of(generation);
        match fs::hard_link(saved, &name) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(at_path("create", &name, &error)),
            _ => Ok(name),
        }
    }
}

/// What tells a file from every other, and what it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct File {
    device: u64,
    inode: u64,
    /// Bytes on the disk.
    bytes: u64,
}

impl File {
    fn of(metadata: &fs::Metadata) -> Self {
        File { device: metadata.dev(), inode: metadata.ino(), bytes: files::on_disk(metadata) }
    }
}

/// A frozen disk.
#[derive(Debug)]
struct Frozen {
    path: PathBuf,
    file: File,
    links: u64,
}

/// What is in a directory; nothing where there is none.
///
/// # Errors
/// An error that names the directory.
pub(crate) fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    match fs::read_dir(directory) {
        Ok(entries) => Ok(entries.flatten().map(|entry| entry.path()).collect()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(at_path("read the directory", directory, &error)),
    }
}

#[cfg(test)]
mod tests;
