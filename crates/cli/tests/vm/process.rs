//! Processes that a test looks at, kills, or finds in the tool's way.

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

/// Kills a process that the test has started, and waits for its end. Its parent is init, or the container's first
/// process, which reaps it in its own time.
pub(crate) fn kill(pid: u64) {
    assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
    until(|| !is_alive(pid));
}

/// The pid that `status` tells.
pub(crate) fn pid(setup: &Setup) -> u64 {
    setup.json(&["status", "-o", "json"])["pid"].as_u64().unwrap()
}

/// The state that `status` tells.
pub(crate) fn state(setup: &Setup) -> String {
    setup.json(&["status", "-o", "json"])["state"].as_str().unwrap().to_owned()
}

/// A process under the test's control that shows any command line; it ends at the end of its input, or with the test.
pub(crate) struct Stranger(Child);

impl Stranger {
    /// `words` is what it shows, the program first, in `directory`.
    pub(crate) fn new(words: &[&str], directory: &Path) -> Self {
        let (program, rest) = words.split_first().unwrap();
        let mut command = Command::new("/bin/sh");
        // What stands behind the script are the shell's parameters, which it does not look at.
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

    /// Whether nobody has ended it.
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
