//! Reports tests that cannot run on this machine, on stderr and to `bin/test`.

use std::fs::File;
use std::io::Write;

/// The variable with the path of the list of skipped tests: a name, a tab and a reason on each line. `bin/test` sets it and
/// shows the list.
pub const VARIABLE: &str = "K3S_TEST_SKIPPED";

/// Reports that the running test is skipped, and why: on stderr, past the capture of the test harness, and in the list.
///
/// # Panics
/// When the list cannot be written: a skipped test must not look like one that passed.
pub fn skip(why: &str) {
    // The test harness names the thread after the test.
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    let _ = std::io::stderr().write_all(format!("SKIPPED: {test}: {why}\n").as_bytes());
    list(test, why);
}

/// Adds a skipped test to the list, if there is one.
///
/// # Panics
/// As [`skip`].
pub fn list(test: &str, why: &str) {
    let line = format!("{test}\t{why}\n");
    if let Some(path) = std::env::var_os(VARIABLE) {
        // In one write, because test programs add to it at the same time.
        let list = File::options().append(true).create(true).open(&path);
        list.and_then(|mut list| list.write_all(line.as_bytes())).expect("the list of skipped tests");
    }
}

/// Whether all `programs` are in PATH or in the directories of system programs. Where one is missing, the running test is
/// reported as skipped.
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
