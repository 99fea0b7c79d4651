//! Nix: the one that `cargo xtask nix` has fetched, or the installed one.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// The repository.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the workspace").to_path_buf()
}

/// A program of Nix.
pub(crate) fn program(name: &str) -> OsString {
    let fetched = repository().join("target/nix/bin").join(name);
    if fetched.exists() { fetched.into() } else { name.into() }
}

/// The directory that stands in for a nixpkgs.
pub(crate) fn stand_in() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/nixos/stand-in")
}

/// `nix-instantiate --eval` of an attribute of `guest/nixos/default.nix`, with the stand-in unless another is given.
fn evaluate(attribute: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(program("nix-instantiate"));
    command.args(["--eval", "--strict", "--json", "-A", attribute]).arg(repository().join("guest/nixos/default.nix"));
    if !arguments.contains(&"nixpkgs") {
        command.args(["--argstr", "nixpkgs"]).arg(stand_in());
    }
    command.args(arguments);
    // Nothing is read from a store or written to one.
    command.env("NIX_REMOTE", "dummy://");
    command.output().expect("nix-instantiate: `cargo xtask nix` fetches one")
}

/// As [`evaluate`], for what must succeed.
pub(crate) fn value(attribute: &str, arguments: &[&str]) -> Value {
    let output = evaluate(attribute, arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// `image` with the settings, whose file has an awkward name.
pub(crate) fn image(settings: &Value) -> Value {
    let directory = tempfile::Builder::new().prefix("the \"settings\", größer ").tempdir().expect("a directory");
    let file = directory.path().join("settings.json");
    std::fs::write(&file, settings.to_string()).expect("a file");
    value("image", &["--argstr", "settings", file.to_str().expect("a text")])
}

/// What Nix says when it refuses the settings: the last line.
pub(crate) fn refusal(settings: &Value) -> String {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("settings.json");
    std::fs::write(&file, settings.to_string()).expect("a file");
    let output = evaluate("image", &["--argstr", "settings", file.to_str().expect("a text")]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    said.trim_end().lines().last().unwrap_or_default().trim().to_owned()
}
