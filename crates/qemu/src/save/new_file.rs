//! The files of a save that is not complete yet.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use host::io_error::at_path;
use model::Result;

/// A new file, which is removed when this is dropped unless the save keeps it.
pub(super) struct NewFile<'a> {
    pub(super) path: &'a Path,
    pub(super) file: File,
    is_kept: bool,
}

impl<'a> NewFile<'a> {
    pub(super) fn create(path: &'a Path) -> Result<Self> {
        // Not readable: in a set of descriptors QEMU looks for one with the same flags with which it would open a file.
        let file = File::options().write(true).create_new(true).mode(0o600).open(path);
        let file = file.map_err(|error| at_path("create", path, &error))?;
        Ok(NewFile { path, file, is_kept: false })
    }

    /// Discards what was written.
    pub(super) fn empty(&self) -> Result<()> {
        let emptied = self.file.set_len(0).and_then(|()| (&self.file).seek(SeekFrom::Start(0)).map(drop));
        emptied.map_err(|error| at_path("write", self.path, &error))
    }

    pub(super) fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for NewFile<'_> {
    fn drop(&mut self) {
        if !self.is_kept {
            let _ = std::fs::remove_file(self.path);
        }
    }
}
