//! The directory of backing files, and its lock.

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

use crate::directory::entries;
use crate::project::Project;

/// How long to wait for the lock without a configuration. Whoever has it holds it for moments.
const PATIENCE: Duration = Duration::from_secs(30 * 60);
/// The extension of backing files.
const SUFFIX: &str = "qcow2";

/// The backing files of a project.
#[derive(Debug, Clone)]
pub struct BackingFiles {
    pub(super) project: ProjectPaths,
    pub(super) directory: PathBuf,
    /// How long to wait for the lock.
    patience: Duration,
}

impl BackingFiles {
    /// The backing files of the project with these paths. The directory need not exist.
    pub fn of(project: &ProjectPaths) -> Self {
        BackingFiles { project: project.clone(), directory: project.disks(), patience: PATIENCE }
    }

    /// The same, whose lock is waited for as long as the project's configuration says.
    pub(crate) fn of_project(project: &Project) -> Self {
        BackingFiles { patience: project.config.timeouts.lock, ..Self::of(&project.paths) }
    }

    /// Locks the directory. A caller that makes a backing file, or chooses one, holds the lock until what needs the file
    /// has its name in place; otherwise [`LockedBackingFiles::collect`] could remove the file in between.
    ///
    /// # Errors
    /// A State error that names the holder when it is not released in time; an error that names the path.
    pub fn lock(&self, events: &dyn EventSink) -> Result<LockedBackingFiles> {
        files::create_private_dir(&self.directory)?;
        let lock =
            FileLock::acquire(&self.directory.join("lock"), "the project's backing files", self.patience, events)?;
        Ok(LockedBackingFiles { backing_files: self.clone(), _lock: lock })
    }

    /// All backing files in the directory.
    pub(super) fn list(&self) -> Result<Vec<BackingFile>> {
        let mut list = Vec::new();
        for path in entries(&self.directory)? {
            if path.extension().is_some_and(|suffix| suffix == SUFFIX) {
                let metadata = path.symlink_metadata().map_err(|error| at_path("look at", &path, &error))?;
                list.push(BackingFile { file: File::of(&metadata), links: metadata.nlink(), path });
            }
        }
        Ok(list)
    }
}

/// The backing files of a project while no other process changes the directory.
#[derive(Debug)]
pub struct LockedBackingFiles {
    pub(super) backing_files: BackingFiles,
    _lock: FileLock,
}

impl LockedBackingFiles {
    /// The path of the backing file of this generation.
    pub fn path_of(&self, generation: &Generation) -> PathBuf {
        self.backing_files.directory.join(format!("{generation}.{SUFFIX}"))
    }

    /// Creates `disk`, whole or not at all, as an overlay on `backing_file`, which is in this directory. A disk that is
    /// there is replaced.
    ///
    /// # Errors
    /// Failed when `backing_file` is no disk; an error that names the path.
    pub fn overlay(&self, backing_file: &Path, disk: &Path) -> Result<()> {
        qcow2::create_overlay(disk, backing_file, qcow2::header(backing_file)?.virtual_size)
    }

    /// The backing file of the saved VM whose disk is `saved`. Where it was removed, or not copied with the project, it is
    /// made again as a hard link to `saved`.
    ///
    /// # Errors
    /// An error that names the path.
    pub fn backing_file(&self, saved: &Path, generation: &Generation) -> Result<PathBuf> {
        let path = self.path_of(generation);
        match fs::hard_link(saved, &path) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(at_path("create", &path, &error)),
            _ => Ok(path),
        }
    }
}

/// The identity of a file, and its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct File {
    pub(super) device: u64,
    pub(super) inode: u64,
    /// Bytes that it takes on the host's disk.
    pub(super) bytes: u64,
}

impl File {
    pub(super) fn of(metadata: &fs::Metadata) -> Self {
        File { device: metadata.dev(), inode: metadata.ino(), bytes: files::on_disk(metadata) }
    }
}

/// A backing file.
#[derive(Debug)]
pub(super) struct BackingFile {
    pub(super) path: PathBuf,
    pub(super) file: File,
    /// How many names it has.
    pub(super) links: u64,
}
