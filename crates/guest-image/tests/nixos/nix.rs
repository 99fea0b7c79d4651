//! Runs Nix: the one that `cargo xtask nix` has fetched, or the installed one.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// The root directory of the repository.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the workspace").to_path_buf()
}

/// The path or name of a program of Nix.
pub(crate) fn program(name: &str) -> OsString {
    let fetched = repository().join("target/nix/bin").join(name);
    if fetched.exists() { fetched.into() } else { name.into() }
}

/// The directory that is used instead of nixpkgs.
pub(crate) fn stand_in() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/nixos/stand-in")
}

/// Evaluates an attribute of `guest/nixos/default.nix`, with the stand-in unless `arguments` name a nixpkgs.
fn evaluate(attribute: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(program("nix-instantiate"));
    command.args(["--eval", "--strict", "--json", "-A", attribute]).arg(repository().join("guest/nixos/default.nix"));
    if !arguments.contains(&"nixpkgs") {
        command.args(["--argstr", "nixpkgs"]).arg(stand_in());
    }
    command.args(arguments);
    // Do not use a store.
    command.env("NIX_REMOTE", "dummy://");
    command.output().expect("nix-instantiate: `cargo xtask nix` fetches one")
}

/// The value of an attribute, whose evaluation must succeed.
pub(crate) fn value(attribute: &str, arguments: &[&str]) -> Value {
    let output = evaluate(attribute, arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// The attribute `image` with these settings, whose file has a name that needs quoting.
pub(crate) fn image(settings: &Value) -> Value {
    let directory = tempfile::Builder::new().prefix("the \"settings\", größer ").tempdir().expect("a directory");
    let file = directory.path().join("settings.json");
    std::fs::write(&file, settings.to_string()).expect("a file");
    value("image", &["--argstr", "settings", file.to_str().expect("a text")])
}

/// The last line of Nix's error about these settings.
pub(crate) fn refusal(settings: &Value) -> String {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("settings.json");
    std::fs::write(&file, settings.to_string()).expect("a file");
    let output = evaluate("image", &["--argstr", "settings", file.to_str().expect("a text")]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    said.trim_end().lines().last().unwrap_or_default().trim().to_owned()
}
