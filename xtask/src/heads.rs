//! `cargo xtask heads`: every Rust file begins with `//!` and what it owns.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::rust_files;

/// The directories that have Rust sources.
const DIRECTORIES: [&str; 4] = ["crates", "integrations", "tests-vm", "xtask"];

/// Checks all Rust files.
///
/// # Errors
/// The list of the files that begin otherwise.
pub(crate) fn run(repository: &Path) -> Result<()> {
    let mut files = Vec::new();
    for directory in DIRECTORIES {
        files.extend(rust_files::below(&repository.join(directory))?);
    }
    let mut findings = Vec::new();
    for file in &files {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        if !has_head(&text) {
            let shown = file.strip_prefix(repository).unwrap_or(file).display();
            findings.push(format!("{shown}: begin with `//! ` and what the file owns"));
        }
    }
    if !findings.is_empty() {
        bail!("{}", findings.join("\n"));
    }
    println!("{} Rust files say what they own", files.len());
    Ok(())
}

fn has_head(text: &str) -> bool {
    text.starts_with("//! ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_head_is_found() {
        assert!(has_head("//! Owns x.\nmod x;\n"));
        for text in ["mod x;\n", "", "//!\n", "// Owns x.\n"] {
            assert!(!has_head(text), "{text:?}");
        }
    }
}
