//! What the fake QEMU is to do: a JSON file `fake-qemu.json` in its working directory, or the one that the variable
//! `FAKE_QEMU_SCRIPT` names. Every field may be missing; then it does as a healthy QEMU does.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The file in the working directory.
pub const FILE: &str = "fake-qemu.json";
/// The variable that names another file.
pub const VARIABLE: &str = "FAKE_QEMU_SCRIPT";
/// Every command that the fake received is added to this file beside its script, one JSON a line; a guest that is to prove
/// KVM counts as the command `probe`.
pub const CALLS: &str = "fake-qemu.calls";
/// How many mebibytes a fake that floods its console has printed, beside its script.
pub const FLOODED: &str = "fake-qemu.flooded";
/// How many starts have found their port taken, beside the script.
pub const OVERTAKEN: &str = "fake-qemu.overtaken";

/// The whole script.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Script {
    /// What `--version` tells.
    pub version: String,
    /// Die before anything else.
    pub die: Option<Death>,
    /// End by itself this long after the start.
    pub exit_after: Option<Exit>,
    /// Whether it has a filter of system calls (`-sandbox`).
    pub sandbox: bool,
    /// The guest resets this long after the start, in ms; it also does at SIGUSR1.
    pub reset_after_ms: Option<u64>,
    /// Print on the console without end, a mebibyte at a time; how many were printed is in the file [`FLOODED`].
    pub flood: bool,
    /// At so many starts somebody takes the first forwarded port right before it is opened.
    pub overtaken: u32,
    /// Put a directory in the place of this file, which is in the working directory, before QMP answers.
    pub spoil: Option<String>,
    /// What the guest does that is to prove KVM.
    pub probe: Probe,
    /// What QMP says first.
    pub greeting: Greeting,
    /// Answers to QMP commands instead of the usual ones: `{"return": …}` or `{"error": …}`.
    pub qmp: BTreeMap<String, Value>,
    /// Commands of QMP that are answered so late, in ms, although they are carried out at once.
    pub late_ms: BTreeMap<String, u64>,
    /// Commands of QMP that are never answered, and whether they are carried out.
    pub unanswered: BTreeMap<String, bool>,
    /// Commands of QMP that are refused after so many.
    pub refuse_after: BTreeMap<String, u32>,
    /// What `query-status` tells until `stop` or `cont`.
    pub status: String,
    /// What the guest does at its power button.
    pub power_button: PowerButton,
    /// How long the guest takes to power off, in ms.
    pub power_off_ms: u64,
    /// Answer `quit` and go on.
    pub ignore_quit: bool,
    /// Go on at SIGTERM.
    pub ignore_sigterm: bool,
    /// What the guest prints on its console, in order.
    pub console: Vec<ConsoleLine>,
    /// Listen on the forwards as QEMU does, and die with its words where one is taken.
    pub listen: bool,
    /// With `listen`: guest port -> `address:port` on the host to which its connections go. Others are closed.
    pub guest_ports: BTreeMap<u16, String>,
    /// How the VM's state is written or read.
    pub migration: Migration,
    /// The guest agent.
    pub agent: AgentScript,
}

impl Default for Script {
    fn default() -> Self {
        Script {
            version: "7.2.22".to_owned(),
            die: None,
            exit_after: None,
            sandbox: true,
            reset_after_ms: None,
            flood: false,
            overtaken: 0,
            spoil: None,
            probe: Probe::Print,
            greeting: Greeting::Usual,
            qmp: BTreeMap::new(),
            late_ms: BTreeMap::new(),
            unanswered: BTreeMap::new(),
            refuse_after: BTreeMap::new(),
            status: "running".to_owned(),
            power_button: PowerButton::Obey,
            power_off_ms: 0,
            ignore_quit: false,
            ignore_sigterm: false,
            console: Vec::new(),
            listen: false,
            guest_ports: BTreeMap::new(),
            migration: Migration::Usual,
            agent: AgentScript::default(),
        }
    }
}

impl Script {
    /// Writes it where the fake that runs in `directory` finds it.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, directory: &Path) {
        let text = serde_json::to_string_pretty(self).expect("a script is JSON");
        std::fs::write(directory.join(FILE), text).expect("the script is written");
    }

    /// The names of the commands that a fake in `directory` has received so far, QMP and agent together.
    pub fn calls(directory: &Path) -> Vec<String> {
        Self::received(directory).iter().filter_map(|call| call["execute"].as_str().map(str::to_owned)).collect()
    }

    /// The same with their arguments, as they came.
    pub fn received(directory: &Path) -> Vec<Value> {
        let text = std::fs::read_to_string(directory.join(CALLS)).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

/// Last words and exit code.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Death {
    /// Written to stderr.
    pub stderr: String,
    /// The exit code.
    pub code: u8,
}

/// An end by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Exit {
    /// After this long.
    pub ms: u64,
    /// The exit code.
    pub code: u8,
}

/// What the guest does that is to prove KVM by a line on its console.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Probe {
    /// It prints the line.
    Print,
    /// It prints this at most, and goes on for ever.
    Hang(String),
    /// QEMU dies.
    Die(Death),
}

/// How a migration goes, out or in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Migration {
    /// It succeeds; what comes in must be a stream of QEMU's.
    Usual,
    /// It fails for this reason.
    Fail(String),
    /// It never ends.
    Hang,
    /// QEMU dies.
    Die(Death),
}

/// What QMP says first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Greeting {
    /// The greeting of QMP.
    Usual,
    /// Nothing, for ever.
    Hang,
    /// This line.
    Garbage(String),
}

/// What the guest does at its power button.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PowerButton {
    /// It powers off.
    Obey,
    /// It notices only what comes after so many presses, as early in the boot.
    IgnoreFirst(u32),
    /// Nothing.
    Ignore,
}

/// A line on the console.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConsoleLine {
    /// The pause before it, in ms.
    pub after_ms: u64,
    /// The line.
    pub text: String,
}

/// The guest agent.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct AgentScript {
    /// Never answer.
    pub absent: bool,
    /// Never answer on the first so many connections.
    pub deaf_connections: u32,
    /// What stands in the line before the first answer of a connection, as after a client that was killed.
    pub stale: String,
    /// Answer the shutdown with silence, as usual, but go on.
    pub ignore_shutdown: bool,
    /// Set the clock and report a failure nevertheless, as an agent without hwclock does.
    pub no_hwclock: bool,
    /// Programs of the guest; others do not exist.
    pub programs: Vec<Program>,
    /// Files of the guest; others do not exist.
    pub files: BTreeMap<String, String>,
}

/// A program of the guest.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Program {
    /// It is meant when this occurs in the path and arguments, joined by blanks.
    pub command: String,
    /// Its standard output; `@stdin` stands for its input.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
    /// Its exit code.
    pub code: i32,
    /// The signal that ends it, instead of the exit code.
    pub signal: Option<i32>,
    /// At so many looks it still runs; [`Program::FOREVER`] until it is killed.
    pub looks: u32,
}

impl Program {
    /// It never ends by itself.
    pub const FOREVER: u32 = u32::MAX;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_the_fake_reads() {
        let directory = tempfile::tempdir().unwrap();
        let script = Script {
            die: Some(Death { stderr: "oh".to_owned(), code: 3 }),
            greeting: Greeting::Garbage("x".to_owned()),
            power_button: PowerButton::IgnoreFirst(2),
            guest_ports: BTreeMap::from([(22, "127.0.0.1:1".to_owned())]),
            ..Script::default()
        };
        script.write(directory.path());
        let read = std::fs::read(directory.path().join(FILE)).unwrap();
        assert_eq!(serde_json::from_slice::<Script>(&read).unwrap(), script);
    }

    #[test]
    fn a_misspelt_field_is_an_error_and_not_a_healthy_qemu() {
        assert!(serde_json::from_str::<Script>(r#"{"ignore-sigtrem": true}"#).is_err());
        assert_eq!(serde_json::from_str::<Script>("{}").unwrap(), Script::default());
    }
}
