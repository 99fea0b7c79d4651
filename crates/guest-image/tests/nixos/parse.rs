//! Tests that every Nix file of the repository parses.

use std::path::{Path, PathBuf};

fn nix_files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry")) {
        let (path, name) = (entry.path(), entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            if name != "target" && name != ".git" {
                nix_files(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "nix") {
            found.push(path);
        }
    }
}

fn mistakes(text: &str) -> Vec<String> {
    rnix::Root::parse(text).errors().iter().map(ToString::to_string).collect()
}

#[test]
fn every_nix_file_parses() {
    let mut files = Vec::new();
    nix_files(&crate::nix::repository(), &mut files);
    let repository = crate::nix::repository();
    for expected in ["flake.nix", ".k3s-vm/flake.nix", "guest/nixos/default.nix"] {
        assert!(files.contains(&repository.join(expected)), "{expected} is not among {files:?}");
    }
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(mistakes(&text), [""; 0], "{}", file.display());
    }
}

#[test]
fn a_mistake_is_found() {
    assert_ne!(mistakes("{ a = 1 }"), [""; 0]);
}
