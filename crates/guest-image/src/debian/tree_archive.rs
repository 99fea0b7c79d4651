//! Reads the tar archive of a guest's tree without unpacking it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use host::io_error::at_path;
use model::Result;
use tar::{Entry, EntryType};

/// The content of each file whose path, relative to the tree's root, is `wanted`.
pub(crate) fn read(archive: &Path, wanted: &dyn Fn(&str) -> bool) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut found = BTreeMap::new();
    walk(archive, &mut |kind, path, entry| {
        if kind.is_file() && wanted(path) {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            found.insert(path.to_owned(), bytes);
        }
        Ok(())
    })?;
    Ok(found)
}

/// All directories, relative to the tree's root, which is the empty path.
pub(crate) fn directories(archive: &Path) -> Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::from([PathBuf::new()]);
    walk(archive, &mut |kind, path, _| {
        if kind.is_dir() {
            found.insert(PathBuf::from(path.trim_end_matches('/')));
        }
        Ok(())
    })?;
    Ok(found)
}

type Visit<'a> = &'a mut dyn FnMut(EntryType, &str, &mut Entry<BufReader<File>>) -> std::io::Result<()>;

fn walk(archive: &Path, visit: Visit) -> Result<()> {
    let mut walk = || -> std::io::Result<()> {
        for entry in tar::Archive::new(BufReader::new(File::open(archive)?)).entries_with_seek()? {
            let mut entry = entry?;
            let path = entry.path()?.to_string_lossy().trim_start_matches("./").to_owned();
            visit(entry.header().entry_type(), &path, &mut entry)?;
        }
        Ok(())
    };
    walk().map_err(|error| at_path("read", archive, &error))
}
