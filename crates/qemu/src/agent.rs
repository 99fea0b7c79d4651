//! Guest agent client (qemu-ga): sync, clock, shutdown. The agent is part of the guest and not trusted: every call has a
//! deadline, and the length and form of every answer are checked.
//!
//! Source of the protocol: qga/qapi-schema.json of QEMU. `exec` runs programs, `file` reads files.

mod command;
mod exec;
mod file;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use host::wait::{Look, Wait};
use model::paths::InstancePaths;
use model::{Error, ErrorClass, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::answer::{self, Nothing, Object, SMALL};
use crate::wire::{Wire, WireError, after};

pub use command::{GuestCommand, GuestOutput, GuestScript};

/// Both sides send it before the JSON of a delimited sync. It occurs in no UTF-8 text.
const DELIMITER: u8 = 0xff;

/// How long the first attempt to reach the agent may take. Each further one may take twice as long, up to
/// [`LONGEST_ATTEMPT`].
const FIRST_ATTEMPT: Duration = Duration::from_secs(1);
const LONGEST_ATTEMPT: Duration = Duration::from_secs(8);

/// Why a call has no result.
enum CallError {
    /// The agent refused.
    Refused(Error),
    /// No answer came.
    NoAnswer(Error),
    /// The answer cannot be used.
    Unusable(Error),
    /// The user interrupted.
    Interrupted(Error),
}

impl From<CallError> for Error {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Refused(error)
            | CallError::NoAnswer(error)
            | CallError::Unusable(error)
            | CallError::Interrupted(error) => error,
        }
    }
}

/// A connection on which the agent has answered.
#[derive(Debug)]
pub struct Agent {
    directory: PathBuf,
    /// `None` after a call without an answer: the next line on that connection could be the late one.
    wire: Option<Wire>,
}

impl Agent {
    /// Connects to the socket in `directory` (`InstancePaths::vm_dir`) until the agent answers `guest-sync-delimited`.
    /// Every attempt opens a new connection: one that was opened before the agent ran never answers.
    ///
    /// # Errors
    /// Timeout with the last observation; Guest when QEMU is gone (nobody listens).
    pub fn connect(directory: &Path, deadline: Duration) -> Result<Self> {
        let mut attempt = FIRST_ATTEMPT;
        let wait = Wait { what: "the guest agent", deadline, interval: Duration::from_millis(100) };
        let wire = wait.until(|left| {
            let limit = after(attempt.min(left));
            attempt = (attempt * 2).min(LONGEST_ATTEMPT);
            match synchronise(directory, limit) {
                Ok(wire) => Ok(Look::Ready(wire)),
                Err(WireError::Deadline) => Ok(Look::NotYet("it does not answer".to_owned())),
                Err(WireError::Busy) => Ok(Look::NotYet("other programs are connected to it".to_owned())),
                Err(WireError::Closed) => Ok(Look::NotYet("QEMU closed the connection".to_owned())),
                // This may be left from another client.
                Err(WireError::TooLong(_)) => Ok(Look::NotYet("it says something else without an end".to_owned())),
                Err(error) => Err(wire_error("connecting", error).into()),
            }
        })?;
        Ok(Agent { directory: directory.to_owned(), wire: Some(wire) })
    }

    /// Sets the guest's clock.
    ///
    /// # Errors
    /// Failed when the clock is still more than 2 s away; Timeout; Guest.
    pub fn set_time(&mut self, time: SystemTime, deadline: Duration) -> Result<()> {
        let asked = Instant::now();
        let limit = after(deadline);
        let wanted = nanoseconds(time);
        let answer = self.call::<Object<Nothing>>("guest-set-time", json!({"time": wanted}), SMALL, limit);
        let error = match answer {
            Ok(_) => return Ok(()),
            // The agent sets the clock and then runs hwclock; without one it reports a failure although the clock is right.
            Err(CallError::Refused(error) | CallError::Unusable(error)) => error,
            Err(error) => return Err(error.into()),
        };
        let shown: i64 = self.call("guest-get-time", Value::Null, SMALL, limit)?;
        let expected = wanted.saturating_add(i64::try_from(asked.elapsed().as_nanos()).unwrap_or(0));
        if shown.abs_diff(expected) < 2_000_000_000 { Ok(()) } else { Err(error) }
    }

    /// Asks the guest to power off. The agent answers only where it refuses.
    ///
    /// # Errors
    /// Failed when the agent refuses; otherwise as [`Agent::set_time`].
    pub fn shut_down(&mut self, deadline: Duration) -> Result<()> {
        let refusal = Duration::from_millis(300).min(deadline);
        match self.call::<Object<Nothing>>("guest-shutdown", json!({"mode": "powerdown"}), SMALL, after(refusal)) {
            Ok(_) | Err(CallError::NoAnswer(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes a call; the answer is a `T` of at most `limit` bytes. After any failure but a refusal the next call opens a new
    /// connection.
    fn call<T: DeserializeOwned>(
        &mut self,
        command: &str,
        arguments: Value,
        limit: usize,
        deadline: Instant,
    ) -> Result<T, CallError> {
        let mut wire = match self.wire.take() {
            Some(wire) => wire,
            None => synchronise(&self.directory, deadline).map_err(|error| wire_error(command, error))?,
        };
        let mut request = serde_json::Map::from_iter([("execute".to_owned(), Value::from(command))]);
        if !arguments.is_null() {
            request.insert("arguments".to_owned(), arguments);
        }
        let line = format!("{}\n", Value::Object(request));
        let sent = wire.send(line.as_bytes(), deadline).and_then(|()| wire.line(limit, deadline));
        let line = sent.map_err(|error| wire_error(command, error))?;
        match read(&line) {
            Ok(Ok(value)) => {
                self.wire = Some(wire);
                Ok(value)
            }
            Ok(Err(refusal)) => {
                self.wire = Some(wire);
                let error = Error::new(ErrorClass::Failed, format!("the guest agent refused {command}"));
                Err(CallError::Refused(error.because(refusal)))
            }
            Err(why) => {
                let error = Error::new(ErrorClass::Failed, format!("the guest agent cannot be used ({command})"));
                Err(CallError::Unusable(error.because(why)))
            }
        }
    }
}

/// An answer: a value or an error.
#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(rename = "return", borrow)]
    value: Option<&'a RawValue>,
    error: Option<Object<Refusal>>,
}

#[derive(Deserialize)]
struct Refusal {
    desc: Option<String>,
}

/// Reads an answer: a value or the text of a refusal. The error says what else it is. Pure.
fn read<T: DeserializeOwned>(line: &[u8]) -> std::result::Result<std::result::Result<T, String>, String> {
    let unknown =
        || format!("it says: {}", answer::shown(&String::from_utf8_lossy(line)).chars().take(80).collect::<String>());
    let Object(answer) = serde_json::from_slice::<Object<Answer<'_>>>(line).map_err(|_| unknown())?;
    match (answer.error, answer.value) {
        (Some(Object(refusal)), _) => Ok(Err(answer::shown(refusal.desc.as_deref().unwrap_or("no reason given")))),
        (None, Some(value)) => answer::read(value.get()).map(Ok),
        (None, None) => Err(unknown()),
    }
}

/// A new connection on which the agent has answered. What was on the line before is dropped.
fn synchronise(directory: &Path, deadline: Instant) -> Result<Wire, WireError> {
    let mut wire = Wire::connect(directory, InstancePaths::AGENT_SOCKET)?;
    // A number that earlier clients are unlikely to have used.
    let id = nanoseconds(SystemTime::now()) & 0x7fff_ffff;
    let mut request = vec![DELIMITER];
    request
        .extend_from_slice(json!({"execute": "guest-sync-delimited", "arguments": {"id": id}}).to_string().as_bytes());
    request.push(b'\n');
    wire.send(&request, deadline)?;
    loop {
        wire.skip_to(DELIMITER, deadline)?;
        let line = wire.line(SMALL, deadline)?;
        // Anything else may be left from another client.
        if matches!(read::<i64>(&line), Ok(Ok(told)) if told == id) {
            return Ok(wire);
        }
    }
}

fn nanoseconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

fn wire_error(during: &str, error: WireError) -> CallError {
    let told =
        |class, why: String| Error::new(class, format!("the guest agent cannot be reached ({during})")).because(why);
    let no_answer = |class, why: &str| CallError::NoAnswer(told(class, why.to_owned()));
    let unusable = |why| CallError::Unusable(told(ErrorClass::Failed, why));
    match error {
        WireError::Interrupted(error) => CallError::Interrupted(error),
        WireError::NobodyListens => no_answer(ErrorClass::Guest, "QEMU does not run: nobody listens on its socket"),
        WireError::Busy => no_answer(ErrorClass::Timeout, "other programs are connected to it"),
        WireError::Closed => no_answer(ErrorClass::Guest, "QEMU closed the connection"),
        WireError::Deadline => no_answer(ErrorClass::Timeout, "no answer in time"),
        WireError::TooLong(limit) => unusable(format!("its answer has more than {limit} bytes")),
        WireError::Io(error) => unusable(error.to_string()),
    }
}

#[cfg(test)]
mod tests;
