//! Removes backing files that no disk needs any more: mark and sweep.
//!
//! The roots are the disks of instances and of saved VMs, also of those that are being made. Whoever makes a backing file
//! or an overlay holds the lock, so that no root is missed.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use host::files;
use model::instance::InstanceName;
use model::paths::{InstancePaths, SavedStatePaths};
use model::{Error, EventSink, Result};

use super::directory::{BackingFile, BackingFiles, File, LockedBackingFiles};
use crate::directory::entries;

/// What was removed, or would be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Collected {
    /// How many backing files.
    pub disks: usize,
    /// Bytes on the host's disk that are free again: those of files that had no other name.
    pub bytes: u64,
}

impl LockedBackingFiles {
    /// Removes the backing files that are in no chain. Where a disk cannot be read nothing is removed, since its chain is
    /// not known.
    ///
    /// # Errors
    /// An error that names the path.
    pub fn collect(&self, events: &dyn EventSink) -> Result<Collected> {
        let mut collected = Collected::default();
        for disk in self.unused(&[], events)? {
            files::remove(&disk.path)?;
            collected.disks += 1;
            collected.bytes += if disk.links == 1 { disk.file.bytes } else { 0 };
        }
        Ok(collected)
    }

    /// What [`LockedBackingFiles::collect`] would remove after the saved VMs in the directories `without` were removed.
    ///
    /// # Errors
    /// As [`LockedBackingFiles::collect`].
    pub fn would_collect(&self, without: &[PathBuf], events: &dyn EventSink) -> Result<Collected> {
        let linked: Vec<_> =
            without.iter().filter_map(|directory| SavedStatePaths::new(directory).disk().metadata().ok()).collect();
        let mut collected = Collected::default();
        for disk in self.unused(without, events)? {
            let links = linked.iter().filter(|link| (link.dev(), link.ino()) == id(disk.file)).count() as u64;
            collected.disks += 1;
            collected.bytes += if disk.links == 1 + links { disk.file.bytes } else { 0 };
        }
        Ok(collected)
    }

    /// The backing files that [`LockedBackingFiles::collect`] would remove.
    ///
    /// # Errors
    /// As [`LockedBackingFiles::collect`].
    fn unused(&self, without: &[PathBuf], events: &dyn EventSink) -> Result<Vec<BackingFile>> {
        let disks = self.backing_files.list()?;
        if disks.is_empty() {
            return Ok(disks);
        }
        match self.backing_files.used(without) {
            Ok(used) => Ok(disks.into_iter().filter(|disk| !used.contains(disk)).collect()),
            Err(error) => {
                events.warning(format!("no backing file was removed: {error}"));
                Ok(Vec::new())
            }
        }
    }
}

/// The backing files that are needed.
#[derive(Debug, Default)]
struct Used {
    names: HashSet<PathBuf>,
    files: HashSet<(u64, u64)>,
}

impl Used {
    fn contains(&self, disk: &BackingFile) -> bool {
        self.names.contains(&disk.path) || self.files.contains(&id(disk.file))
    }
}

impl BackingFiles {
    fn used(&self, without: &[PathBuf]) -> Result<Used> {
        let mut used = Used::default();
        for saved in self.saved_disks()? {
            if saved.parent().is_some_and(|directory| without.iter().any(|one| one == directory)) {
                continue;
            }
            // The next restore makes an overlay on it, by its name among the backing files.
            if let Ok(metadata) = saved.symlink_metadata() {
                used.files.insert((metadata.dev(), metadata.ino()));
            }
            self.mark(&saved, &mut used)?;
        }
        for instance in self.instances()? {
            let disk = instance.disk();
            if disk.exists() {
                self.mark(&disk, &mut used)?;
            }
            for other in entries(&instance.vm_dir())? {
                // A disk that is being made. An incomplete one has no chain, and its maker is dead, since we hold the lock.
                let name = other.file_name().unwrap_or_default().to_string_lossy();
                if name.contains(".qcow2") && other != disk {
                    let _: Result<(), Error> = self.mark(&other, &mut used);
                }
            }
        }
        Ok(used)
    }

    fn mark(&self, disk: &Path, used: &mut Used) -> Result<()> {
        let chain = self.chain(disk)?;
        used.names.extend(chain.layers.into_iter().skip(1));
        Ok(())
    }

    /// The disks of guest images under the disks of the project.
    ///
    /// # Errors
    /// As [`BackingFiles::chain`]: where a disk cannot be read, its image is not known.
    pub fn images(&self) -> Result<HashSet<PathBuf>> {
        let mut disks = self.saved_disks()?;
        disks.extend(self.list()?.into_iter().map(|disk| disk.path));
        disks.extend(self.instances()?.iter().map(InstancePaths::disk).filter(|disk| disk.exists()));
        disks.iter().filter_map(|disk| self.chain(disk).map(|chain| chain.image).transpose()).collect()
    }

    /// The disks of templates and snapshots, also of those that are being made.
    fn saved_disks(&self) -> Result<Vec<PathBuf>> {
        let mut disks = Vec::new();
        for directory in [self.project.templates(), self.project.snapshots()] {
            let saved = entries(&directory)?.into_iter().map(|directory| SavedStatePaths::new(directory).disk());
            disks.extend(saved.filter(|disk| disk.exists()));
        }
        Ok(disks)
    }

    /// The files of all instances.
    fn instances(&self) -> Result<Vec<InstancePaths>> {
        let mut names = vec![InstanceName::default()];
        for directory in entries(&self.project.instances())? {
            let name = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
            names.extend(InstanceName::with_suffix(&name));
        }
        Ok(names.iter().map(|name| self.project.instance(name)).collect())
    }
}

fn id(file: File) -> (u64, u64) {
    (file.device, file.inode)
}
