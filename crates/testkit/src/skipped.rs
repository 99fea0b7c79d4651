//! Tests that cannot run on this machine: they say so where `bin/test` finds it.

use std::fs::File;
use std::io::Write;

/// Names the file that takes the names of skipped tests, a name, a tab and a reason on each line. `bin/test` sets it and lists them.
pub const VARIABLE: &str = "K3S_TEST_SKIPPED";

/// Says that the running test does not run, and why: past the capture of the test harness, and in the list of
/// `bin/test`.
///
/// # Panics
/// When the list cannot be written: a skipped test must never look like one that passed.
pub fn skip(why: &str) {
    // The test harness names a test's thread after it.
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    let _ = std::io::stderr().write_all(format!("SKIPPED: {test}: {why}\n").as_bytes());
    list(test, why);
}

/// Puts a test that does not run, and why, into the list of `bin/test`, if that runs it.
///
/// # Panics
/// As [`skip`].
pub fn list(test: &str, why: &str) {
    let line = format!("{test}\t{why}\n");
    if let Some(path) = std::env::var_os(VARIABLE) {
        // One write each: test programs add to it at the same time.
        let list = File::options().append(true).create(true).open(&path);
        list.and_then(|mut list| list.write_all(line.as_bytes())).expect("the list of skipped tests");
    }
}

/// Whether all `programs` are in PATH or in the directories of system programs; the running test is skipped by name
/// where one is not.
///
/// # Panics
/// As [`skip`].
pub fn has_programs(programs: &[&str]) -> bool {
    let missing: Vec<&str> = programs.iter().copied().filter(|program| !is_installed(program)).collect();
    if !missing.is_empty() {
        skip(&format!("{}: not installed", missing.join(", ")));
    }
    missing.is_empty()
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin"].map(std::path::PathBuf::from);
    std::env::split_paths(&path).chain(system).any(|directory| directory.join(program).is_file())
}
