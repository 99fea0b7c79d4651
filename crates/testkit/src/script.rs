//! The script of the fake QEMU: the JSON file `fake-qemu.json` in its working directory, or the file that the variable
//! `FAKE_QEMU_SCRIPT` names. Where a field is missing, the fake acts like a healthy QEMU.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The file in the working directory.
pub const FILE: &str = "fake-qemu.json";
/// The variable that names another file.
pub const VARIABLE: &str = "FAKE_QEMU_SCRIPT";
/// The file beside the script to which the fake adds every command that it receives, one JSON text a line. A guest that
/// tests KVM counts as the command `probe`.
pub const CALLS: &str = "fake-qemu.calls";
/// The file beside the script with the mebibytes that a fake with [`Script::flood`] has printed.
pub const FLOODED: &str = "fake-qemu.flooded";
/// The file beside the script with the number of starts that found their port taken.
pub const OVERTAKEN: &str = "fake-qemu.overtaken";

/// The whole script.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Script {
    /// The version that `--version` prints.
    pub version: String,
    /// Die before anything else.
    pub die: Option<Death>,
    /// End by itself this long after the start.
    pub exit_after: Option<Exit>,
    /// Whether it supports `-sandbox`.
    pub sandbox: bool,
    /// The guest resets this long after the start, in ms. It also resets at SIGUSR1.
    pub reset_after_ms: Option<u64>,
    /// Print on the console without end, a mebibyte at a time; the file [`FLOODED`] has their number.
    pub flood: bool,
    /// At this many starts another process takes the first forwarded port right before it is opened.
    pub overtaken: u32,
    /// Replace this file in the working directory by a directory before QMP answers.
    pub spoil: Option<String>,
    /// What the guest that tests KVM does.
    pub probe: Probe,
    /// The greeting of QMP.
    pub greeting: Greeting,
    /// Answers to QMP commands instead of the usual ones: `{"return": …}` or `{"error": …}`.
    pub qmp: BTreeMap<String, Value>,
    /// The delay of the answers to QMP commands, in ms. The commands are carried out at once.
    pub late_ms: BTreeMap<String, u64>,
    /// QMP commands that are never answered, and whether they are carried out.
    pub unanswered: BTreeMap<String, bool>,
    /// QMP commands that are refused after this many.
    pub refuse_after: BTreeMap<String, u32>,
    /// The status in `query-status` until `stop` or `cont`.
    pub status: String,
    /// How the guest reacts to its power button.
    pub power_button: PowerButton,
    /// How long the guest takes to power off, in ms.
    pub power_off_ms: u64,
    /// Answer `quit` and run on.
    pub ignore_quit: bool,
    /// Run on at SIGTERM.
    pub ignore_sigterm: bool,
    /// What the guest prints on its console, in order.
    pub console: Vec<ConsoleLine>,
    /// Listen on the forwarded ports as QEMU does, and die with its message where one is taken.
    pub listen: bool,
    /// With `listen`: guest port -> `address:port` on the host to which its connections go. Connections to other ports are
    /// closed.
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

    /// The names of the commands of QMP and of the agent that a fake in `directory` has received.
    pub fn calls(directory: &Path) -> Vec<String> {
        Self::received(directory).iter().filter_map(|call| call["execute"].as_str().map(str::to_owned)).collect()
    }

    /// The commands that a fake in `directory` has received, with their arguments.
    pub fn received(directory: &Path) -> Vec<Value> {
        let text = std::fs::read_to_string(directory.join(CALLS)).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

/// A death of QEMU.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Death {
    /// The text on stderr.
    pub stderr: String,
    /// The exit code.
    pub code: u8,
}

/// An end of QEMU by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Exit {
    /// After this long.
    pub ms: u64,
    /// The exit code.
    pub code: u8,
}

/// What the guest that tests KVM does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Probe {
    /// It prints the line.
    Print,
    /// It prints this text and runs on without end.
    Hang(String),
    /// QEMU dies.
    Die(Death),
}

/// How a migration goes, out or in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Migration {
    /// It succeeds; a state that is read must be a stream of QEMU.
    Usual,
    /// It fails for this reason.
    Fail(String),
    /// It never ends.
    Hang,
    /// QEMU dies.
    Die(Death),
}

/// The greeting of QMP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Greeting {
    /// That of QEMU.
    Usual,
    /// None, and no answers.
    Hang,
    /// This line.
    Garbage(String),
}

/// How the guest reacts to its power button.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PowerButton {
    /// It powers off.
    Obey,
    /// It misses this many presses, as a guest that boots does.
    IgnoreFirst(u32),
    /// It never reacts.
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
    /// Never answer on this many connections, the first ones.
    pub deaf_connections: u32,
    /// Text before the first answer on a connection, as after a client that was killed.
    pub stale: String,
    /// Do not shut down. As usual there is no answer.
    pub ignore_shutdown: bool,
    /// Set the clock and report a failure, as an agent without hwclock does.
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
    /// The program is meant where its path and arguments, joined by spaces, contain this.
    pub command: String,
    /// Its standard output; `@stdin` stands for its input.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
    /// Its exit code.
    pub code: i32,
    /// The signal that ends it, instead of the exit code.
    pub signal: Option<i32>,
    /// How many times its status is "runs"; with [`Program::FOREVER`] it runs until it is killed.
    pub looks: u32,
}

impl Program {
    /// The program never ends by itself.
    pub const FOREVER: u32 = u32::MAX;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_that_is_written_is_read_back() {
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
