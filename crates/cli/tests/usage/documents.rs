//! The documents say what the program does: exit codes and keys of the configuration.

use std::fs;
use std::path::{Path, PathBuf};

use model::FaultClass;
use model::config::key::KEYS;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(name: &str) -> String {
    fs::read_to_string(repository().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn the_readme_has_every_exit_code() {
    let readme = read("README.md");
    for class in FaultClass::ALL {
        let row = format!("| {} | ", class.exit_code());
        assert!(readme.lines().any(|line| line.starts_with(&row)), "no row for {}", class.name());
    }
}

#[test]
fn the_readme_has_every_key() {
    let readme = read("README.md");
    for key in KEYS.iter().filter(|key| key.name != "version") {
        assert!(readme.contains(&format!("`{}`", key.name)), "{} is not documented", key.name);
    }
}
