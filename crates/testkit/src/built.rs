//! Builds programs of this package: cargo does not build them for the tests of other packages.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// Set by `.config/stand-ins` to the directory with all of them, built before the tests run.
const DIRECTORY: &str = "K3S_TEST_STAND_INS";

/// The path of the program `bin`, which is built unless [`DIRECTORY`] has it.
pub(crate) fn program(bin: &str) -> PathBuf {
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        let program = Path::new(&directory).join(bin);
        assert!(program.is_file(), "{DIRECTORY} has no {bin}: {}", program.display());
        return program;
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--quiet", "--offline", "--message-format=json"])
        .args(["-p", env!("CARGO_PKG_NAME"), "--bin", bin])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{bin} cannot be built");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .expect("cargo names the executable")
}
