//! Programs run in the guest: `guest-exec` and `guest-exec-status`.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use host::wait::{Look, Wait};
use model::{Fault, FaultClass, Result};
use serde_json::{Value, json};

use super::Agent;

/// A program to run in the guest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GuestCommand {
    /// The program, an absolute path in the guest.
    pub path: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its environment, `NAME=value`; the agent's own where empty.
    pub environment: Vec<String>,
    /// Its standard input.
    pub input: Vec<u8>,
}

/// What a program in the guest printed and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestOutput {
    /// The exit code; 128 + N for a death by signal N.
    pub code: i32,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// Whether the agent dropped output (it keeps 16 MiB of each).
    pub truncated: bool,
}

impl GuestCommand {
    /// The program at `path` with `arguments`.
    pub fn new<A: Into<String>>(path: impl Into<String>, arguments: impl IntoIterator<Item = A>) -> Self {
        GuestCommand {
            path: path.into(),
            arguments: arguments.into_iter().map(Into::into).collect(),
            ..GuestCommand::default()
        }
    }

    /// `script` run by the guest's `/bin/sh -c`.
    pub fn shell(script: impl Into<String>) -> Self {
        GuestCommand::new("/bin/sh", ["-c".to_owned(), script.into()])
    }

    fn display(&self) -> String {
        let words: Vec<&str> =
            std::iter::once(self.path.as_str()).chain(self.arguments.iter().map(String::as_str)).collect();
        let line: String = words.join(" ");
        line.lines().next().unwrap_or_default().chars().take(120).collect()
    }

    fn request(&self) -> Value {
        let mut request = json!({"path": self.path, "arg": self.arguments, "capture-output": true});
        if !self.environment.is_empty() {
            request["env"] = json!(self.environment);
        }
        if !self.input.is_empty() {
            request["input-data"] = json!(BASE64.encode(&self.input));
        }
        request
    }
}

impl Agent {
    /// Runs a program and waits for its end; whatever its exit code, its output is returned. On the deadline it is
    /// killed in the guest.
    ///
    /// # Errors
    /// Failed when the guest cannot start it; Timeout; Guest when QEMU is gone.
    pub fn exec(&mut self, command: &GuestCommand, deadline: Duration) -> Result<GuestOutput> {
        let end = Instant::now() + deadline;
        let what = format!("`{}` in the guest", command.display());
        let started =
            self.call("guest-exec", command.request(), end).map_err(|fault| fault.context(format!("{what} failed")))?;
        let pid = started["pid"].as_i64().unwrap_or_default();
        let wait = Wait { what: &what, deadline, interval: Duration::from_millis(50) };
        let ended = wait.until(|left| {
            // The last look comes with little time left; a healthy agent must not seem dead for that.
            let limit = Instant::now() + left.max(Duration::from_secs(1));
            let status = self.call("guest-exec-status", json!({"pid": pid}), limit)?;
            if status["exited"] == json!(true) {
                Ok(Look::Ready(output(&status)))
            } else {
                Ok(Look::NotYet("it still runs".to_owned()))
            }
        });
        if ended.is_err() {
            let kill = GuestCommand::new("/bin/kill", ["-KILL".to_owned(), pid.to_string()]);
            // The fault at hand tells more than one of this attempt could.
            let _ = self.call("guest-exec", kill.request(), Instant::now() + Duration::from_secs(2));
        }
        ended
    }

    /// [`Agent::exec`]; a non-zero exit is a fault with the end of its stderr. Returns standard output as text
    /// (invalid UTF-8 replaced).
    ///
    /// # Errors
    /// Failed for a non-zero exit; otherwise as [`Agent::exec`].
    pub fn run(&mut self, command: &GuestCommand, deadline: Duration) -> Result<String> {
        let output = self.exec(command, deadline)?;
        if output.code == 0 {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let stderr = String::from_utf8_lossy(&output.stderr);
        let mut last: Vec<&str> = stderr.lines().rev().filter(|line| !line.trim().is_empty()).take(5).collect();
        last.reverse();
        let what = format!("`{}` in the guest exited with {}", command.display(), output.code);
        let fault = Fault::new(FaultClass::Failed, what);
        Err(if last.is_empty() { fault } else { fault.because(last.join("\n")) })
    }
}

fn output(status: &Value) -> GuestOutput {
    let bytes = |key: &str| BASE64.decode(status[key].as_str().unwrap_or_default()).unwrap_or_default();
    let number = |key: &str| status[key].as_i64().and_then(|number| i32::try_from(number).ok());
    GuestOutput {
        code: number("signal").map(|signal| 128 + signal).or(number("exitcode")).unwrap_or(-1),
        stdout: bytes("out-data"),
        stderr: bytes("err-data"),
        truncated: status["out-truncated"] == json!(true) || status["err-truncated"] == json!(true),
    }
}
