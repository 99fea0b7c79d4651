//! The folder of manifests: which files are read, and in which order. Parsing belongs to [`crate::manifest`].

#![allow(unused_variables, dead_code, clippy::unimplemented)]

use std::path::Path;

use model::Result;

use crate::manifest::{ManifestObject, ManifestText};

/// The file that is applied before all others.
pub const BASE: &str = "base.json";

/// Reads the files of `folder` (`.json`, `.yaml`, `.yml`; not in subfolders; hidden files are skipped): `base.json`
/// first, the others by name. A missing folder and an empty file hold no objects. `shown` is the folder's name in
/// messages, as a rule relative to the project.
///
/// # Errors
/// A Config fault that names the file that cannot be read.
pub fn read(folder: &Path, shown: &str) -> Result<Vec<ManifestText>> {
    unimplemented!()
}

/// [`read`], then [`crate::manifest::parse`].
///
/// # Errors
/// As those two.
pub fn read_objects(folder: &Path, shown: &str) -> Result<Vec<ManifestObject>> {
    unimplemented!()
}
