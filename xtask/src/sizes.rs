//! `cargo xtask sizes`: no source file is longer than the limit, and every Rust file begins by saying what it owns.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Longer files are split.
const MOST_LINES: usize = 400;

/// Where sources are.
const FOLDERS: [&str; 8] = ["bin", "crates", "guest", "integrations", "tests-vm", "web", "xtask", ".ci"];

/// Checks all source files.
///
/// # Errors
/// The list of the files that break a rule.
pub(crate) fn run(repository: &Path) -> Result<()> {
    let mut files = Vec::new();
    for folder in FOLDERS {
        collect(&repository.join(folder), &mut files)?;
    }
    files.sort();
    let mut findings = Vec::new();
    let mut lines = 0;
    for file in &files {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        lines += text.lines().count();
        let shown = file.strip_prefix(repository).unwrap_or(file);
        findings.extend(check(shown, &text));
    }
    if findings.is_empty() {
        println!("{} source files, {lines} lines, none longer than {MOST_LINES}", files.len());
        return Ok(());
    }
    bail!("{}", findings.join("\n"));
}

/// What is wrong with a file.
fn check(name: &Path, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    let lines = text.lines().count();
    if lines > MOST_LINES {
        findings.push(format!("{}: {lines} lines, the limit is {MOST_LINES}: split it", name.display()));
    }
    if is_rust(name) && !text.starts_with("//! ") {
        findings.push(format!("{}: begin with `//! ` and what the file owns", name.display()));
    }
    findings
}

fn is_rust(name: &Path) -> bool {
    name.extension().is_some_and(|extension| extension == "rs")
}

/// Adds the sources under `folder`: Rust, Go, and programs without an extension that begin like a script.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
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
    fn long_and_headless_files_are_found() {
        let long = format!("//! Owns x.\n{}", "x\n".repeat(MOST_LINES));
        assert_eq!(check(Path::new("a.rs"), &long), ["a.rs: 401 lines, the limit is 400: split it"]);
        assert_eq!(check(Path::new("a.rs"), &long[..long.len() - 2]), Vec::<String>::new());
        assert_eq!(check(Path::new("a.rs"), "mod x;\n"), ["a.rs: begin with `//! ` and what the file owns"]);
        assert_eq!(check(Path::new("a.go"), "package main\n"), Vec::<String>::new());
    }

    #[test]
    fn this_very_file_is_among_the_sources() {
        let mut files = Vec::new();
        collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files).unwrap();
        assert!(files.iter().any(|file| file.ends_with("sizes.rs")));
    }
}
