//! `cargo xtask circles`: no files of a crate use each other in a circle.

mod module_tree;
mod source;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::rust_files;
use module_tree::ModuleTree;

/// Checks all crates of the workspace.
///
/// # Errors
/// Every circle, with what its files use of each other.
pub(crate) fn run(repository: &Path) -> Result<()> {
    let (mut findings, mut count) = (Vec::new(), 0);
    for sources in crates(repository)? {
        let mut files = Vec::new();
        for file in rust_files::below(&sources)? {
            let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            files.push((file.strip_prefix(&sources).unwrap_or(&file).to_path_buf(), text));
        }
        let name = sources.strip_prefix(repository).unwrap_or(&sources).display();
        let tree = ModuleTree::read(&files).with_context(|| name.to_string())?;
        findings.extend(tree.circles().iter().map(|circle| format!("{name}: {}", tree.describe(circle))));
        count += files.len();
    }
    if !findings.is_empty() {
        bail!("{}", findings.join("\n"));
    }
    println!("{count} Rust files, none in a circle");
    Ok(())
}

/// The `src` directories of the workspace's crates.
fn crates(repository: &Path) -> Result<Vec<PathBuf>> {
    let mut crates = vec![repository.join("tests-vm/src"), repository.join("xtask/src")];
    for entry in fs::read_dir(repository.join("crates")).context("cannot read crates/")? {
        crates.push(entry?.path().join("src"));
    }
    crates.retain(|sources| sources.is_dir());
    crates.sort();
    Ok(crates)
}
