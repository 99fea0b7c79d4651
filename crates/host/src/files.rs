//! Files: atomic writes, private folders, and errors that name the path.

#![allow(unused_variables, unused_mut, dead_code, clippy::unimplemented)]

use std::path::Path;

use model::Result;

/// The permission bits of a file that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Those of the file that is replaced; 0644 less the umask where there is none.
    Keep,
    /// Exactly these.
    Exactly(u32),
}

/// Replaces `path` whole or not at all (temporary file in the same folder, fsync, rename, fsync of the folder).
/// A symbolic link is followed: its target is replaced, the link stays.
pub fn write_atomic(path: &Path, bytes: &[u8], mode: Mode) -> Result<()> {
    unimplemented!()
}

/// The content, or nothing where the file does not exist.
pub fn read_optional(path: &Path) -> Result<Option<Vec<u8>>> {
    unimplemented!()
}

/// The content as text, or nothing where the file does not exist; invalid UTF-8 is a fault that names the line.
pub fn read_text_optional(path: &Path) -> Result<Option<String>> {
    unimplemented!()
}

/// Makes the folder and its parents; the folder itself gets 0700.
pub fn create_private_dir(path: &Path) -> Result<()> {
    unimplemented!()
}

/// Makes the folder and its parents with the usual permissions.
pub fn create_dir(path: &Path) -> Result<()> {
    unimplemented!()
}

/// Removes a file, a link or a whole folder; one that is not there is success.
pub fn remove(path: &Path) -> Result<()> {
    unimplemented!()
}

/// Renames within one filesystem.
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    unimplemented!()
}

/// Makes `link` a symbolic link to `target`, atomically; what is no symbolic link is left alone and is a fault.
/// Returns whether anything changed.
pub fn point_link(link: &Path, target: &Path) -> Result<bool> {
    unimplemented!()
}

/// The last `count` lines of a file (read from its end, invalid UTF-8 replaced); empty where it does not exist.
pub fn tail(path: &Path, count: usize) -> Vec<String> {
    unimplemented!()
}

/// Bytes free for this user on the filesystem that holds `path` (or its nearest parent that exists).
pub fn free_space(path: &Path) -> Result<u64> {
    unimplemented!()
}
