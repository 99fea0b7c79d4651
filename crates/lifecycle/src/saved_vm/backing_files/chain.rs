//! Chains of disks: an overlay, the frozen disks under it, and the guest image's disk at the end.
//!
//! Overlays name their bases by absolute paths. After a project was moved or copied those lead to another place; the pool
//! at the new one has the same disks by the same names, which nothing else in the world has.

use std::path::{Path, PathBuf};

use model::paths::ProjectPaths;
use model::{Error, ErrorClass, Result};
use qemu::qcow2;

use super::{LockedPool, Pool};

/// No chain that we make is near this; one that is longer runs in a circle.
const LONGEST: usize = 256;

/// The disks that a disk is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// The disk itself, then the frozen disks under it, from top to bottom.
    pub layers: Vec<PathBuf>,
    /// The first disk that is no frozen one of the project: that of the guest image, or nothing.
    pub image: Option<PathBuf>,
}

impl Pool {
    /// The chain that begins at `disk`, which may be in use.
    ///
    /// # Errors
    /// A State error when a frozen disk is gone; Failed when one cannot be read.
    pub fn chain(&self, disk: &Path) -> Result<Chain> {
        let mut chain = Chain { layers: vec![disk.to_owned()], image: None };
        let mut top = disk.to_owned();
        while let Some(base) = qcow2::header(&top)?.backing_file {
            let Some(frozen) = self.own(&base) else {
                chain.image = Some(base);
                break;
            };
            if !frozen.exists() {
                return Err(gone(disk, &base));
            }
            if chain.layers.len() == LONGEST {
                let what = format!("the disk {} is made of more than {LONGEST} others", disk.display());
                return Err(Error::new(ErrorClass::Failed, what));
            }
            chain.layers.push(frozen.clone());
            top = frozen;
        }
        Ok(chain)
    }

    /// How many disks lie above that of the guest image.
    ///
    /// # Errors
    /// As [`Pool::chain`].
    pub fn depth(&self, disk: &Path) -> Result<usize> {
        Ok(self.chain(disk)?.layers.len())
    }

    /// The name that a base has in this pool, if it is a frozen disk of this project or of what it was copied from.
    pub(super) fn own(&self, base: &Path) -> Option<PathBuf> {
        let directory = base.parent()?;
        let of_a_project = directory.ends_with(Path::new(ProjectPaths::MARKER).join("disks"));
        (directory == self.directory || of_a_project).then(|| self.directory.join(base.file_name().unwrap_or_default()))
    }
}

impl LockedPool {
    /// Makes the names in the chain of `disk` lead through this pool, where the project was moved or copied. No QEMU may
    /// hold the disk itself. Returns how many names were changed; after an error or a kill the next call changes the rest.
    ///
    /// # Errors
    /// As [`Pool::chain`]; an error that names a disk that cannot be written.
    pub fn mend(&self, disk: &Path) -> Result<usize> {
        let mut mended = 0;
        for layer in self.pool.chain(disk)?.layers {
            if let Some(named) = qcow2::header(&layer)?.backing_file
                && let Some(own) = self.pool.own(&named)
                && own != named
            {
                qcow2::rename_backing_file(&layer, &own)?;
                mended += 1;
            }
        }
        Ok(mended)
    }
}

fn gone(disk: &Path, base: &Path) -> Error {
    let what = format!("the disk {} cannot be read without a frozen disk that is gone", disk.display());
    Error::new(ErrorClass::State, what)
        .because(format!("{} is missing", base.display()))
        .next("k3s-vm reset    # makes a new disk; what was written to the old one since cannot be read")
}
