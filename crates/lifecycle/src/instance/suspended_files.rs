//! The files of a suspended VM: whether they are there, and removing them.

use std::path::PathBuf;

use host::files;
use model::Result;
use model::paths::SuspendedPaths;

use crate::directory::entries;

/// Whether a VM is suspended there.
pub(crate) fn is_saved(paths: &SuspendedPaths) -> bool {
    paths.description().exists()
}

/// Removes the suspended VM, first the file that makes it valid. A QEMU that has the RAM open can still read it.
///
/// # Errors
/// An error that names the path.
pub(crate) fn discard(paths: &SuspendedPaths) -> Result<()> {
    files::remove(&paths.description())?;
    files(paths)?.iter().try_for_each(|path| files::remove(path))
}

/// All files of suspended VMs, of any generation.
///
/// # Errors
/// An error that names the directory.
pub(crate) fn files(paths: &SuspendedPaths) -> Result<Vec<PathBuf>> {
    let is_one = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        name.starts_with(SuspendedPaths::PREFIX.as_bytes())
    };
    Ok(entries(paths.directory())?.into_iter().filter(is_one).collect())
}
