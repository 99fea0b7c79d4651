//! `cargo xtask sizes`: every Rust file begins by saying what it owns. Long files are named; that is advice.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Longer files are worth a look: they may have more than one purpose (CONTRIBUTING.md).
const MANY_LINES: usize = 400;

/// Where sources are.
const DIRECTORYS: [&str; 8] = ["bin", "crates", "guest", "integrations", "tests-vm", "web", "xtask", ".ci"];

/// Checks all source files.
///
/// # Errors
/// The list of the files that break a rule.
pub(crate) fn run(repository: &Path) -> Result<()> {
    let mut files = Vec::new();
    for directory in DIRECTORYS {
        collect(&repository.join(directory), &mut files)?;
    }
    files.sort();
    let (mut findings, mut long) = (Vec::new(), Vec::new());
    let mut lines = 0;
    for file in &files {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let (shown, count) = (file.strip_prefix(repository).unwrap_or(file), text.lines().count());
        lines += count;
        findings.extend(check(shown, &text));
        if count > MANY_LINES {
            long.push(format!("  {}: {count} lines", shown.display()));
        }
    }
    if findings.is_empty() {
        println!("{} source files, {lines} lines, {} longer than {MANY_LINES}", files.len(), long.len());
        long.iter().for_each(|file| println!("{file}"));
        return Ok(());
    }
    bail!("{}", findings.join("\n"));
}

/// What is wrong with a file.
fn check(name: &Path, text: &str) -> Option<String> {
    let has_head = !is_rust(name) || text.starts_with("//! ");
    (!has_head).then(|| format!("{}: begin with `//! ` and what the file owns", name.display()))
}

fn is_rust(name: &Path) -> bool {
    name.extension().is_some_and(|extension| extension == "rs")
}

/// Adds the sources under `directory`: Rust, Go, and programs without an extension that begin like a script.
fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if !directory.exists() {
        return Ok(());
    }
    let entries = fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    for entry in entries {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_dir() && entry.file_name() != "target" {
            collect(&path, files)?;
        } else if kind.is_file() && is_source(&path) {
            files.push(path);
        }
    }
    Ok(())
}

fn is_source(path: &Path) -> bool {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some(extension) => ["rs", "go", "sh", "nix", "py", "js"].contains(&extension),
        None => fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"#!")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headless_files_are_found_and_long_ones_pass() {
        let long = format!("//! Owns x.\n{}", "x\n".repeat(MANY_LINES));
        assert_eq!(check(Path::new("a.rs"), &long), None);
        let told = check(Path::new("a.rs"), "mod x;\n");
        assert_eq!(told.as_deref(), Some("a.rs: begin with `//! ` and what the file owns"));
        assert_eq!(check(Path::new("a.go"), "package main\n"), None);
    }

    #[test]
    fn this_very_file_is_among_the_sources() {
        let mut files = Vec::new();
        collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files).unwrap();
        assert!(files.iter().any(|file| file.ends_with("sizes.rs")));
    }
}
