//! Runs tests in namespaces of their own: tests that need a process table without the VMs of the user and of other tests, and
//! tests that mount. The test program is started again for the one test.

use std::process::Command;

use crate::skipped::skip;

/// Set in the namespaces.
const INSIDE: &str = "K3S_TEST_IN_NAMESPACES";
/// The seconds after which timeout(1) ends such a test: far more than any takes on a busy machine.
const DEADLINE: &str = "600";
/// The exit code of timeout(1) at its deadline.
const TIMED_OUT: i32 = 124;

/// Runs `work` in new mount and process namespaces, where this machine allows them; `test` is the name of the calling test.
/// All processes in the namespaces end with it.
///
/// # Panics
/// When the test fails there, or does not end in time.
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

/// Runs mount(8) in the namespaces.
///
/// # Panics
/// When it fails.
pub fn mount<Word: AsRef<std::ffi::OsStr>>(arguments: &[Word]) {
    let output = Command::new("mount").args(arguments).output().expect("a program of this system");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
