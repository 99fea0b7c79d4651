//! Programs that outlive us: in a session of their own, and with no open file but their three standard streams.
//!
//! What the caller of this program holds open (`k3s-vm start 9>lock`, the pipes of a CI runner or of make's job server)
//! is meant for programs of the user. A QEMU would keep it open, and locked, for days. Between fork(2) and execve(2) no
//! safe code can run, so this program is run in between: it marks all files to be closed, and becomes the other program.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::tools;

/// This program, also where its file was replaced or removed since (proc(5)).
const THIS_PROGRAM: &str = "/proc/self/exe";
/// The first word of the command line of the step in between.
const STEP: &str = "become-in-the-background";
/// The first file that is not a standard stream.
const FIRST: i32 = 3;

/// Whether this program takes the step: it has called [`step`].
static TAKES_STEP: AtomicBool = AtomicBool::new(false);

/// Used where this program does not take the step, as in tests of the library: a shell, which cannot close files whose
/// numbers have two digits.
const CLOSE_AND_EXEC: &str = "exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-; exec \"$@\"";

/// A command that becomes `program`; arguments, directory and standard streams are the caller's to add.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    if TAKES_STEP.load(Ordering::Relaxed) {
        let mut command = Command::new(THIS_PROGRAM);
        command.arg(STEP).arg(program);
        return command;
    }
    let mut command = Command::new("/bin/sh");
    command.args(["-c", CLOSE_AND_EXEC, "sh"]);
    // std has no setsid yet; setsid(1) of util-linux calls it and becomes the program. Without that a process group of its
    // own must do.
    match tools::find("setsid") {
        Some(setsid) => command.arg(setsid),
        None => command.process_group(0),
    };
    command.arg(program);
    command
}

/// The words before `program` on a command line that is to reach it with no open file but the standard streams; nothing
/// where this program does not take the step.
pub(crate) fn words_before() -> Vec<OsString> {
    if TAKES_STEP.load(Ordering::Relaxed) { vec![THIS_PROGRAM.into(), STEP.into()] } else { Vec::new() }
}

/// To be called first of all with the words of the command line: becomes the other program where this one was started to
/// do so, and then returns only if that failed.
pub fn step(words: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    TAKES_STEP.store(true, Ordering::Relaxed);
    let mut words = words.into_iter().skip(1);
    if words.next()? != STEP {
        return None;
    }
    let program = words.next()?;
    close_fds::set_fds_cloexec(FIRST, &[]);
    // Neither the terminal's end nor its keys shall reach it. It is refused to the first process of a group, such as one
    // that is ended with its group: that one stays where it is.
    let _ = rustix::process::setsid();
    let error = Command::new(&program).args(words).exec();
    let _ = writeln!(std::io::stderr(), "cannot run {}: {error}", program.display());
    // As shells tell it.
    Some(ExitCode::from(if error.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Not a test by itself: this test program, started again, takes the step.
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
    fn a_file_that_the_caller_holds_open_does_not_reach_a_program_that_outlives_us() {
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
