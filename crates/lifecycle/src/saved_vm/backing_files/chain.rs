//! Chains of disks: an overlay, the backing files under it, and the guest image's disk at the end.
//!
//! Overlays name their backing files by absolute paths. After a project was moved or copied, these lead to the old place;
//! the directory at the new place has the same files, whose names are unique in the world.

use std::path::{Path, PathBuf};

use model::paths::ProjectPaths;
use model::{Error, ErrorClass, Result};
use qemu::qcow2;

use super::directory::{BackingFiles, LockedBackingFiles};

/// No chain that we make is nearly as long; a longer one is a circle.
const LONGEST: usize = 256;

/// The disks that a disk is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// The disk itself, then the backing files under it, from top to bottom.
    pub layers: Vec<PathBuf>,
    /// The disk of the guest image: the first one that is no backing file of the project.
    pub image: Option<PathBuf>,
}

impl BackingFiles {
    /// The chain that begins at `disk`, which may be in use.
    ///
    /// # Errors
    /// A State error when a backing file is gone; Failed when one cannot be read.
    pub fn chain(&self, disk: &Path) -> Result<Chain> {
        let mut chain = Chain { layers: vec![disk.to_owned()], image: None };
        let mut top = disk.to_owned();
        while let Some(named) = qcow2::header(&top)?.backing_file {
            let Some(own) = self.own(&named) else {
                chain.image = Some(named);
                break;
            };
            if !own.exists() {
                return Err(gone(disk, &named));
            }
            if chain.layers.len() == LONGEST {
                let what = format!("the disk {} is made of more than {LONGEST} others", disk.display());
                return Err(Error::new(ErrorClass::Failed, what));
            }
            chain.layers.push(own.clone());
            top = own;
        }
        Ok(chain)
    }

    /// How many disks are in the chain above the guest image's.
    ///
    /// # Errors
    /// As [`BackingFiles::chain`].
    pub fn depth(&self, disk: &Path) -> Result<usize> {
        Ok(self.chain(disk)?.layers.len())
    }

    /// The path in this directory of the backing file `named`, if it is one of this project or of the one that it was copied
    /// from.
    fn own(&self, named: &Path) -> Option<PathBuf> {
        let directory = named.parent()?;
        let of_a_project = directory.ends_with(Path::new(ProjectPaths::MARKER).join("disks"));
        (directory == self.directory || of_a_project)
            .then(|| self.directory.join(named.file_name().unwrap_or_default()))
    }
}

impl LockedBackingFiles {
    /// Makes the disks in the chain of `disk` name the backing files in this directory, where the project was moved or
    /// copied. No QEMU may have `disk` open. Returns how many names were changed; after an error or a kill the next call
    /// changes the rest.
    ///
    /// # Errors
    /// As [`BackingFiles::chain`]; an error that names a disk that cannot be written.
    pub fn mend(&self, disk: &Path) -> Result<usize> {
        let mut mended = 0;
        for layer in self.backing_files.chain(disk)?.layers {
            if let Some(named) = qcow2::header(&layer)?.backing_file
                && let Some(own) = self.backing_files.own(&named)
                && own != named
            {
                qcow2::rename_backing_file(&layer, &own)?;
                mended += 1;
            }
        }
        Ok(mended)
    }
}

fn gone(disk: &Path, named: &Path) -> Error {
    let what = format!("the disk {} cannot be read without a backing file that is gone", disk.display());
    Error::new(ErrorClass::State, what)
        .because(format!("{} is missing", named.display()))
        .next("k3s-vm reset    # makes a new disk; what was written to the old one since cannot be read")
}
