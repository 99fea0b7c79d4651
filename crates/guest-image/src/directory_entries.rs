//! Lists all entries below a directory in a fixed order.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use host::io_error::at_path;
use model::Result;

/// The type of a directory entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// Anything else.
    File {
        /// Whether its owner may execute it.
        executable: bool,
    },
}

/// One entry below a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The path, relative to the directory.
    pub(crate) relative: PathBuf,
    /// The type.
    pub(crate) kind: Kind,
}

/// All entries below `directory`, sorted by path; a directory comes before its entries. Links are not followed.
pub(crate) fn entries(directory: &Path) -> Result<Vec<Entry>> {
    let mut found = Vec::new();
    collect(directory, Path::new(""), &mut found)?;
    found.sort_by(|one, other| one.relative.cmp(&other.relative));
    Ok(found)
}

fn collect(directory: &Path, below: &Path, found: &mut Vec<Entry>) -> Result<()> {
    let here = directory.join(below);
    let read = fs::read_dir(&here).map_err(|error| at_path("read the directory", &here, &error))?;
    for entry in read {
        let entry = entry.map_err(|error| at_path("read the directory", &here, &error))?;
        let relative = below.join(entry.file_name());
        let metadata = entry.metadata().map_err(|error| at_path("read", &entry.path(), &error))?;
        let kind = if metadata.is_dir() {
            Kind::Directory
        } else if metadata.is_symlink() {
            Kind::Link
        } else {
            Kind::File { executable: metadata.permissions().mode() & 0o100 != 0 }
        };
        found.push(Entry { relative: relative.clone(), kind });
        if kind == Kind::Directory {
            collect(directory, &relative, found)?;
        }
    }
    Ok(())
}
