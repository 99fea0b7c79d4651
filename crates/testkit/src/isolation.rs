//! Tests that need a process table of their own (so that no VM of this machine's user is in it, nor one of another test),
//! or that mount: they run once more, alone, in namespaces of their own.

use std::process::Command;

use crate::skipped::skip;

/// Set inside.
const INSIDE: &str = "K3S_TEST_IN_NAMESPACES";
/// Seconds after which timeout(1) ends a test in its namespaces, far more than any takes on a busy machine.
const DEADLINE: &str = "600";
/// What timeout(1) ends with when it had to.
const TIMED_OUT: i32 = 124;

/// Runs `work` inside of new mount and process namespaces, where this machine allows them; `test` is the name of the
/// calling test. All processes in there end with it.
///
/// # Panics
/// When the test fails in there, or is not over in time.
pub fn isolated(test: &str, work: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return work();
    }
    let Some(unshare) = unshare() else {
        return skip("this machine allows no namespaces (unshare)");
    };
    let output = Command::new("timeout")
        .args(["--kill-after", "10", DEADLINE, "unshare", "--kill-child"])
        .args(unshare)
        .arg(std::env::current_exe().expect("this program"))
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .expect("a program of this system");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_ne!(output.status.code(), Some(TIMED_OUT), "it ran for more than {DEADLINE} s:\n{said}");
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

/// The options of unshare(1) that this machine allows.
fn unshare() -> Option<&'static [&'static str]> {
    const AS_ROOT: &[&str] = &["--mount", "--pid", "--fork", "--mount-proc"];
    const AS_USER: &[&str] = &["--user", "--map-root-user", "--mount", "--pid", "--fork", "--mount-proc"];
    [AS_ROOT, AS_USER].into_iter().find(|options| {
        Command::new("unshare").args(*options).arg("true").output().is_ok_and(|output| output.status.success())
    })
}

/// mount(8), inside.
///
/// # Panics
/// When it fails.
pub fn mount<Word: AsRef<std::ffi::OsStr>>(arguments: &[Word]) {
    let output = Command::new("mount").args(arguments).output().expect("a program of this system");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
