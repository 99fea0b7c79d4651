//! A container image made of files, without a container engine: an OCI image layout in one tar.
//!
//! Reproducible: the same files give the same bytes.

#![allow(unused_variables, dead_code, clippy::unimplemented)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use model::Result;

use crate::image_name::ImageName;

/// What goes into an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageRecipe {
    /// Its name.
    pub name: ImageName,
    /// Its program and arguments.
    pub entrypoint: Vec<String>,
    /// Absolute path in the image -> file or folder on the host. Modes are kept; owner is 0, time is 0.
    pub files: BTreeMap<String, PathBuf>,
    /// Its environment, `NAME=value`.
    pub environment: Vec<String>,
    /// The architecture as Rust and uname name it: `x86_64` or `aarch64`.
    pub architecture: String,
}

/// An image that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedImage {
    /// The archive.
    pub path: PathBuf,
    /// The digest of its configuration, `sha256:…`.
    pub config_digest: String,
}

impl ImageRecipe {
    /// Writes the archive to `destination`, whole or not at all.
    ///
    /// # Errors
    /// A Config fault that names a file that is not there or a path that is not absolute.
    pub fn pack(&self, destination: &Path) -> Result<PackedImage> {
        unimplemented!()
    }
}
