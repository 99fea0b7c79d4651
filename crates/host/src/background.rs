//! Programs that outlive us: in a session of their own, and with nothing of what others hold open.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::tools;

/// Run by a shell that becomes the program: closes what scripts hold open when they call us (`flock 9; … 9>lock`), which
/// a program that outlives them would keep open, and locked, for its whole life. Our own files close by themselves.
const CLOSE_AND_EXEC: &str = "exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-; exec \"$@\"";

/// A command that becomes `program`; arguments, folder and standard streams are the caller's to add.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", CLOSE_AND_EXEC, "sh"]);
    // A session of its own, so that neither the terminal's end nor its keys reach it. std has no setsid yet; setsid(1) of
    // util-linux calls it and becomes the program. Without that a process group of its own must do.
    match tools::find("setsid") {
        Some(setsid) => command.arg(setsid),
        None => command.process_group(0),
    };
    command.arg(program);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_script_holds_open_does_not_reach_the_program() {
        let descriptors = |inner: &str| {
            let script = "exec 9</dev/null; exec sh -c \"$1\" sh ls /proc/self/fd";
            let output = Command::new("sh").args(["-c", script, "sh", inner]).output().unwrap();
            String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
        };
        assert!(descriptors("exec \"$@\"").contains(&"9".to_owned()), "the test sees what stays open");
        assert!(!descriptors(CLOSE_AND_EXEC).contains(&"9".to_owned()));
    }
}
