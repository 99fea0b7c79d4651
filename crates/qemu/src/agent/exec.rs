//! Runs programs in the guest: `guest-exec` and `guest-exec-status`.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use host::wait::{Look, Wait};
use model::{Error, ErrorClass, Result};
use serde::Deserialize;
use serde_json::json;

use super::Agent;
use super::command::{GuestCommand, GuestOutput};
use crate::answer::{Object, SMALL};
use crate::wire::after;

/// The most output of a program in bytes, on standard output and standard error each. The agent would return 16 MiB.
const MOST_OUTPUT: usize = 1 << 20;

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

impl Agent {
    /// Runs a program and waits for its end. Returns its output whatever its exit code is. At the deadline the program is
    /// killed in the guest.
    ///
    /// # Errors
    /// Failed when the guest cannot start it; Timeout; Guest when QEMU is gone.
    pub fn exec(&mut self, command: &GuestCommand, deadline: Duration) -> Result<GuestOutput> {
        let end = after(deadline);
        let what = format!("`{}` in the guest", command.display());
        let Object(Started { pid }) = self
            .call("guest-exec", command.request(), SMALL, end)
            .map_err(|error| Error::from(error).context(format!("{what} failed")))?;
        let wait = Wait { what: &what, deadline, interval: Duration::from_millis(50) };
        let ended = wait.until(|left| {
            // Little time is left at the last look, and a healthy agent must not seem dead.
            let limit = after(left.max(Duration::from_secs(1)));
            let longest = 2 * MOST_OUTPUT.div_ceil(3) * 4 + SMALL;
            let Object(status): Object<Status> = self.call("guest-exec-status", json!({"pid": pid}), longest, limit)?;
            if status.exited { Ok(Look::Ready(output(status)?)) } else { Ok(Look::NotYet("it still runs".to_owned())) }
        });
        // For `kill`, 0 means all processes of its group.
        if ended.is_err() && pid > 0 {
            let kill = GuestCommand::new("/bin/kill", ["-KILL".to_owned(), pid.to_string()]);
            // The first error says more than one of this attempt.
            let _ = self.call::<Object<Started>>("guest-exec", kill.request(), SMALL, after(Duration::from_secs(2)));
        }
        ended
    }

    /// [`Agent::exec`] where a non-zero exit code is an error, with the end of stderr. Returns standard output as text
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
