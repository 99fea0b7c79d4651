//! Archives of container images (docker-archive and OCI image layout): what is in them, and the same archive with full
//! names for containerd's import.

#![allow(unused_variables, dead_code, clippy::unimplemented)]

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use model::Result;

use crate::image_name::ImageName;

/// The two formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchiveFormat {
    /// `docker save`: `manifest.json` with `RepoTags`.
    Docker,
    /// An OCI image layout: `index.json` with annotations.
    Oci,
}

/// One image of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchivedImage {
    /// Its names, in full.
    pub names: Vec<ImageName>,
    /// The digest of its configuration, `sha256:…`: what `crictl images` calls the image's id. Nothing for an index of
    /// several platforms.
    pub config_digest: Option<String>,
}

/// An archive that was read once.
#[derive(Debug)]
pub struct ImageArchive {
    path: PathBuf,
    format: ArchiveFormat,
    images: Vec<ArchivedImage>,
    spooled: bool,
}

impl ImageArchive {
    /// Opens an archive file. `name` names an image that has none in the archive.
    ///
    /// # Errors
    /// A Config fault where it is no archive of images, or an image has no name.
    pub fn open(path: &Path, name: Option<&str>) -> Result<Self> {
        unimplemented!()
    }

    /// Takes an archive from a stream: it is kept in a file in `folder`, removed when the value is dropped.
    ///
    /// # Errors
    /// As [`ImageArchive::open`].
    pub fn from_reader(reader: &mut dyn Read, folder: &Path, name: Option<&str>) -> Result<Self> {
        unimplemented!()
    }

    /// The format.
    pub fn format(&self) -> ArchiveFormat {
        self.format
    }

    /// The images.
    pub fn images(&self) -> &[ArchivedImage] {
        &self.images
    }

    /// Writes the archive with full names, for the standard input of `ctr -n k8s.io images import -`.
    ///
    /// # Errors
    /// A Failed fault where reading or writing fails.
    pub fn write_normalized(&self, output: &mut dyn Write) -> Result<()> {
        unimplemented!()
    }
}
