//! Starts programs that outlive this one: in a session of their own, with only their three standard streams open.
//!
//! Files that the caller of this program has open (`k3s-vm start 9>lock`, the pipes of a CI runner or of make's job
//! server) are not meant for QEMU, which would hold them open, and locked, for days. Safe Rust code cannot run between
//! fork(2) and execve(2). So this program is executed in between: it marks all files close-on-exec and executes the
//! other program.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::tools;

/// This program, even if its file was replaced or removed (proc(5)).
const THIS_PROGRAM: &str = "/proc/self/exe";
/// The first argument with which this program is executed in between.
const STEP: &str = "become-in-the-background";
/// The first descriptor that is not a standard stream.
const FIRST: i32 = 3;

/// Whether this program can be executed in between, because it calls [`step`].
static TAKES_STEP: AtomicBool = AtomicBool::new(false);

/// For programs that do not call [`step`], such as tests of the library: a shell script, which cannot close descriptors
/// with two digits.
const CLOSE_AND_EXEC: &str = "exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-; exec \"$@\"";

/// A command that executes `program` in the background. The caller adds arguments, directory and standard streams.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    if TAKES_STEP.load(Ordering::Relaxed) {
        let mut command = Command::new(THIS_PROGRAM);
        command.arg(STEP).arg(program);
        return command;
    }
    let mut command = Command::new("/bin/sh");
    command.args(["-c", CLOSE_AND_EXEC, "sh"]);
    // std cannot call setsid(2); setsid(1) of util-linux can. Without it a process group has to do.
    match tools::find("setsid") {
        Some(setsid) => command.arg(setsid),
        None => command.process_group(0),
    };
    command.arg(program);
    command
}

/// The words to put before a program on a command line, so that it inherits only the standard streams. Empty if this
/// program does not call [`step`].
pub(crate) fn words_before() -> Vec<OsString> {
    if TAKES_STEP.load(Ordering::Relaxed) { vec![THIS_PROGRAM.into(), STEP.into()] } else { Vec::new() }
}

/// Executes the other program if this one was started for that, and returns only if that fails. To be called first,
/// with the words of the command line.
pub fn step(words: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    TAKES_STEP.store(true, Ordering::Relaxed);
    let mut words = words.into_iter().skip(1);
    if words.next()? != STEP {
        return None;
    }
    let program = words.next()?;
    close_fds::set_fds_cloexec(FIRST, &[]);
    // A hangup or keys of the terminal must not reach the program. The leader of a process group cannot call setsid(2);
    // it ends with its group.
    let _ = rustix::process::setsid();
    let error = Command::new(&program).args(words).exec();
    let _ = writeln!(std::io::stderr(), "cannot run {}: {error}", program.display());
    // The exit codes of shells.
    Some(ExitCode::from(if error.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Not a test by itself: this test program, started again, calls [`step`].
    #[test]
    fn role() {
        let Some(program) = std::env::var_os("K3S_VM_BACKGROUND_TEST") else { return };
        step(["k3s-vm".into(), STEP.into(), program, "/proc/self/fd".into()]);
        panic!("it did not become the other program");
    }

    fn descriptors(inner: &[&str], variable: Option<&str>) -> Vec<String> {
        let script = "exec 9</dev/null; exec \"$@\"";
        let mut command = Command::new("bash");
        // bash opens files with large numbers, too.
        command.args(["-c", &format!("exec 57</dev/null; {script}"), "bash"]).args(inner);
        if let Some(program) = variable {
            command.env("K3S_VM_BACKGROUND_TEST", program);
        }
        let output = command.output().expect("it runs");
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_background_program_inherits_no_open_file_of_the_caller() {
        let has = |found: &[String], number: &str| found.iter().any(|line| line == number);
        let open = descriptors(&["ls", "/proc/self/fd"], None);
        assert!(has(&open, "9") && has(&open, "57"), "the test sees what stays open: {open:?}");
        let this = std::env::current_exe().expect("this program");
        let this = this.to_str().expect("a path in UTF-8");
        let left = descriptors(&[this, "--exact", "background::tests::role", "--nocapture"], Some("ls"));
        assert!(has(&left, "0") && has(&left, "2"), "{left:?}");
        assert!(!has(&left, "9") && !has(&left, "57"), "{left:?}");
        let by_shell = descriptors(&["sh", "-c", CLOSE_AND_EXEC, "sh", "ls", "/proc/self/fd"], None);
        assert!(has(&by_shell, "0") && !has(&by_shell, "9"), "{by_shell:?}");
    }

    #[test]
    fn any_other_command_line_is_left_alone() {
        for words in [&["k3s-vm"][..], &["k3s-vm", "start"], &[]] {
            assert!(step(words.iter().map(OsString::from)).is_none(), "{words:?}");
        }
        assert!(!words_before().is_empty());
        TAKES_STEP.store(false, Ordering::Relaxed);
    }
}
