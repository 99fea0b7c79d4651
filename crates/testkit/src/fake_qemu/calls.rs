//! What the fake reads and writes beside sockets: its script, the list of calls, stderr.

use std::io::Write;
use std::path::PathBuf;

use serde_json::Value;

use crate::script::{self, Script};

/// The file of the script.
pub(super) fn script_file() -> PathBuf {
    std::env::var_os(script::VARIABLE).map_or_else(|| PathBuf::from(script::FILE), PathBuf::from)
}

/// Adds a command that was received to the file of calls.
pub(super) fn record(call: &Value) {
    let calls = std::fs::File::options().append(true).create(true).open(script_file().with_file_name(script::CALLS));
    let _ = calls.and_then(|mut calls| calls.write_all(format!("{call}\n").as_bytes()));
}

/// The script; that of a healthy QEMU where there is no file.
pub(super) fn read_script() -> Script {
    match std::fs::read(script_file()) {
        Ok(text) => serde_json::from_slice(&text).expect("the script fits its schema"),
        Err(_) => Script::default(),
    }
}

/// Writes a line to stderr, which is `vm.log` where the fake runs in QEMU's place.
pub(super) fn say(line: &str) {
    // A log that cannot be written must not change what the fake does.
    let _ = writeln!(std::io::stderr(), "{line}");
}
