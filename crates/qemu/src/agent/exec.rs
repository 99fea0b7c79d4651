//! Programs run in the guest: `guest-exec` and `guest-exec-status`.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use host::wait::{Look, Wait};
use model::{Error, ErrorClass, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Agent;
use crate::answer::{Object, SMALL};
use crate::wire::after;

/// How much a program may print, on standard output and standard error each. The agent keeps 16 MiB of each.
const MOST_OUTPUT: usize = 1 << 20;

/// A script for a shell in the guest. It is a text of this program, and nothing that came from outside can become a part
/// of it: what it works on are its arguments (`$1`, `"$@"`) and its standard input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuestScript(&'static str);

impl GuestScript {
    /// The script of this text.
    pub const fn new(text: &'static str) -> Self {
        GuestScript(text)
    }

    /// Its text.
    pub const fn text(self) -> &'static str {
        self.0
    }
}

/// A program to run in the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestCommand {
    path: String,
    arguments: Vec<String>,
    environment: Vec<String>,
    input: Vec<u8>,
}

/// The answer of `guest-exec`.
#[derive(Deserialize)]
struct Started {
    pid: u32,
}

/// `GuestExecStatus`.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Status {
    exited: bool,
    exitcode: Option<i32>,
    signal: Option<u8>,
    out_data: Option<String>,
    err_data: Option<String>,
    out_truncated: Option<bool>,
    err_truncated: Option<bool>,
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
    /// The program at `path`, absolute, with `arguments`. For a shell there is [`GuestCommand::shell`].
    pub fn new<A: Into<String>>(path: impl Into<String>, arguments: impl IntoIterator<Item = A>) -> Self {
        GuestCommand {
            path: path.into(),
            arguments: arguments.into_iter().map(Into::into).collect(),
            environment: Vec::new(),
            input: Vec::new(),
        }
    }

    /// `script` run by the guest's `/bin/sh -c`, with `arguments` as `$1` and so on.
    pub fn shell<A: Into<String>>(script: GuestScript, arguments: impl IntoIterator<Item = A>) -> Self {
        let fixed = ["-c", script.text(), "sh"].map(str::to_owned);
        GuestCommand::new("/bin/sh", fixed.into_iter().chain(arguments.into_iter().map(Into::into)))
    }

    /// With this environment, `NAME=value`, in the place of the agent's own.
    #[must_use]
    pub fn environment<V: Into<String>>(mut self, variables: impl IntoIterator<Item = V>) -> Self {
        self.environment = variables.into_iter().map(Into::into).collect();
        self
    }

    /// With this standard input.
    #[must_use]
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
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
        let end = after(deadline);
        let what = format!("`{}` in the guest", command.display());
        let Object(Started { pid }) = self
            .call("guest-exec", command.request(), SMALL, end)
            .map_err(|error| error.context(format!("{what} failed")))?;
        let wait = Wait { what: &what, deadline, interval: Duration::from_millis(50) };
        let ended = wait.until(|left| {
            // The last look comes with little time left; a healthy agent must not seem dead for that.
            let limit = after(left.max(Duration::from_secs(1)));
            let longest = 2 * MOST_OUTPUT.div_ceil(3) * 4 + SMALL;
            let Object(status): Object<Status> = self.call("guest-exec-status", json!({"pid": pid}), longest, limit)?;
            if status.exited { Ok(Look::Ready(output(status)?)) } else { Ok(Look::NotYet("it still runs".to_owned())) }
        });
        // `kill` would take 0 for all processes of its group.
        if ended.is_err() && pid > 0 {
            let kill = GuestCommand::new("/bin/kill", ["-KILL".to_owned(), pid.to_string()]);
            // The error at hand tells more than one of this attempt could.
            let _ = self.call::<Object<Started>>("guest-exec", kill.request(), SMALL, after(Duration::from_secs(2)));
        }
        ended
    }

    /// [`Agent::exec`]; a non-zero exit is an error with the end of its stderr. Returns standard output as text
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
        let error = Error::new(ErrorClass::Failed, what);
        Err(if last.is_empty() { error } else { error.because(last.join("\n")) })
    }
}

fn output(status: Status) -> Result<GuestOutput> {
    let bytes = |text: Option<String>| {
        BASE64.decode(text.unwrap_or_default()).map_err(|_| {
            Error::new(ErrorClass::Failed, "the guest agent cannot be used").because("a program's output is no base64")
        })
    };
    let code = match (status.signal, status.exitcode) {
        (Some(signal), _) => 128_i32.saturating_add(i32::from(signal)),
        (None, Some(code)) => code,
        (None, None) => -1,
    };
    let truncated = [status.out_truncated, status.err_truncated].contains(&Some(true));
    Ok(GuestOutput { code, stdout: bytes(status.out_data)?, stderr: bytes(status.err_data)?, truncated })
}
