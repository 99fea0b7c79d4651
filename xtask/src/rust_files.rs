//! Finds Rust source files.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The Rust files below `directory`, sorted; those of build directories (`target`) are left out.
///
/// # Errors
/// A directory cannot be read.
pub(crate) fn below(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    collect(directory, &mut files)?;
    files.sort();
    Ok(files)
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    for entry in entries {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_dir() && entry.file_name() != "target" {
            collect(&path, files)?;
        } else if kind.is_file() && path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rust_files_of_all_depths_but_not_of_builds() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        for name in ["b/c", "target"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        for name in ["b/c/d.rs", "a.rs", "b/e.go", "target/f.rs"] {
            fs::write(root.join(name), "").unwrap();
        }
        assert_eq!(below(root).unwrap(), [root.join("a.rs"), root.join("b/c/d.rs")]);
    }
}
