//! Evicts files from the host's page cache.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::{Advice, fadvise};

/// Evicts the files below these directories from the page cache; their size in bytes. Pages that a process has mapped
/// stay (posix_fadvise(2)), so no VM may run.
pub(super) fn evict(directories: &[&Path]) -> Result<u64> {
    let mut bytes = 0;
    for directory in directories {
        let Ok(entries) = fs::read_dir(directory) else { continue };
        for entry in entries {
            let path = entry?.path();
            let metadata = path.symlink_metadata()?;
            if metadata.is_dir() {
                bytes += evict(&[&path])?;
            } else if metadata.is_file() {
                let file = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
                // Dirty pages are not evicted.
                file.sync_data().with_context(|| format!("cannot sync {}", path.display()))?;
                fadvise(&file, 0, None, Advice::DontNeed)?;
                bytes += metadata.len();
            }
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_all_depths_are_evicted_and_unchanged() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("a")).unwrap();
        fs::write(directory.path().join("a/b"), "12345").unwrap();
        fs::write(directory.path().join("c"), "678").unwrap();
        std::os::unix::fs::symlink("/nowhere", directory.path().join("d")).unwrap();
        assert_eq!(evict(&[directory.path(), Path::new("/nowhere")]).unwrap(), 8);
        assert_eq!(fs::read_to_string(directory.path().join("a/b")).unwrap(), "12345");
    }
}
