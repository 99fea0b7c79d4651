//! Listing a directory that may be missing.

use std::fs;
use std::path::{Path, PathBuf};

use host::io_error::at_path;
use model::Result;

/// The paths of the entries of `directory`; none where there is no such directory.
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
