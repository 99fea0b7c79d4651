//! Processes that a test inspects, kills, or puts in the way of the program.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

pub(crate) use testkit::wait::until;

use crate::setup::Setup;

/// Whether a process has not ended.
pub(crate) fn is_alive(pid: u64) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

/// Kills a process and waits for its end. Its parent, init or the container's first process, reaps it some time later.
pub(crate) fn kill(pid: u64) {
    assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
    until(|| !is_alive(pid));
}

/// The pid in `status`.
pub(crate) fn pid(setup: &Setup) -> u64 {
    setup.json(&["status", "-o", "json"])["pid"].as_u64().unwrap()
}

/// The state in `status`.
pub(crate) fn state(setup: &Setup) -> String {
    setup.json(&["status", "-o", "json"])["state"].as_str().unwrap().to_owned()
}

/// A process with any command line. It ends with its input, or with the test.
pub(crate) struct Stranger(Child);

impl Stranger {
    /// `words` are its command line, beginning with the program; `directory` is its working directory.
    pub(crate) fn new(words: &[&str], directory: &Path) -> Self {
        let (program, rest) = words.split_first().unwrap();
        let mut command = Command::new("/bin/sh");
        // The words after the script are parameters of the shell, which it ignores.
        command.arg0(program).args(["-c", "echo runs; read line"]).args(rest).current_dir(directory);
        use std::io::Read;
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = [0];
        child.stdout.as_mut().unwrap().read_exact(&mut said).unwrap();
        Stranger(child)
    }

    /// A process that was started some other way.
    pub(crate) fn of(child: Child) -> Self {
        Stranger(child)
    }

    /// Its pid.
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Whether it is still running.
    pub(crate) fn is_alive(&self) -> bool {
        is_alive(self.0.id().into())
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
