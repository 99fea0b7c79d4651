//! QMP (QEMU Machine Protocol) client: greeting, commands, events. QEMU serves one client at a time. The length and form of
//! answers are checked, because a guest may have taken QEMU over.
//!
//! Source of the protocol: docs/interop/qmp-spec.txt and the qapi schemas of QEMU.

mod block_stream;
mod disk;
mod forwards;
mod message;
mod migration;
mod resets;

use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use model::paths::InstancePaths;
use model::{Error, ErrorClass, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::answer::{self, Nothing, Object, SMALL};
use crate::wire::{Wire, WireError, after};

use message::{Message, not_qmp, parse};

/// The longest answer of a command that lists disks or connections, in bytes: enough for 40 000 connections.
const LARGE: usize = 4 << 20;
/// The most events that are stored for [`Qmp::events`]. QEMU limits the rate of events that a guest can cause.
const MOST_EVENTS: usize = 4096;

/// An event that QEMU sent.
#[derive(Debug, Clone, PartialEq)]
pub struct QmpEvent {
    /// `SHUTDOWN`, `RESET`, `GUEST_PANICKED`, `STOP`, `RESUME`, …
    pub name: String,
    /// The data; null where it has none.
    pub data: Value,
}

impl QmpEvent {
    /// The text under `key` of its data.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.data.get(key)?.as_str()
    }
}

/// The state of the VM, as `query-status` reports it (`RunState` of qapi/run-state.json).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunState {
    /// The guest runs.
    Running,
    /// The guest is paused; `cont` resumes it.
    Paused,
    /// Any other state, by its name: `guest-panicked`, `shutdown`, `prelaunch`, `inmigrate`, `io-error`, …
    Other(String),
}

/// The outcome of a command. Without an answer it may or may not have been carried out.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// QEMU has carried it out.
    Done,
    /// QEMU has refused, and nothing has changed.
    Refused(Error),
    /// There is no answer, or none that can be understood.
    Unknown(Error),
}

/// Why a command has no result.
enum CallError {
    Refused(Error),
    Unknown(Error),
}

impl From<Error> for CallError {
    fn from(error: Error) -> Self {
        CallError::Unknown(error)
    }
}

impl From<CallError> for Error {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Refused(error) | CallError::Unknown(error) => error,
        }
    }
}

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum ConnectError {
    /// Nobody listens, or QEMU closed the connection.
    Gone(Error),
    /// Anything else.
    Other(Error),
}

impl ConnectError {
    fn new(is_gone: bool, error: Error) -> Self {
        if is_gone { ConnectError::Gone(error) } else { ConnectError::Other(error) }
    }
}

impl From<ConnectError> for Error {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Gone(error) | ConnectError::Other(error) => error,
        }
    }
}

/// A connection to QMP.
#[derive(Debug)]
pub struct Qmp {
    wire: Wire,
    deadline: Duration,
    last_id: u64,
    events: Vec<QmpEvent>,
    closed: bool,
}

impl Qmp {
    /// Connects to the socket in `directory` (`InstancePaths::vm_dir`) and negotiates; one attempt. `deadline` bounds
    /// the attempt and later every call.
    ///
    /// # Errors
    /// Guest when nobody listens or QEMU closes the connection, Timeout when QEMU does not answer (also while another
    /// client is connected), Failed when what answers is not QMP.
    pub fn connect(directory: &Path, deadline: Duration) -> Result<Self> {
        Ok(Self::open(directory, deadline)?)
    }

    /// [`Qmp::connect`] for callers that need to know whether QEMU is gone.
    pub(crate) fn open(directory: &Path, deadline: Duration) -> Result<Self, ConnectError> {
        let wire = Wire::connect(directory, InstancePaths::QMP_SOCKET).map_err(|error| {
            let is_gone = matches!(error, WireError::NobodyListens | WireError::Closed);
            ConnectError::new(is_gone, wire_error("connecting", error))
        })?;
        Self::negotiate(wire, deadline)
    }

    /// The second half of [`Qmp::open`].
    pub(crate) fn negotiate(wire: Wire, deadline: Duration) -> Result<Self, ConnectError> {
        let mut qmp = Qmp { wire, deadline, last_id: 0, events: Vec::new(), closed: false };
        match qmp.greet() {
            Ok(()) => Ok(qmp),
            Err(error) => Err(ConnectError::new(qmp.closed, error)),
        }
    }

    fn greet(&mut self) -> Result<()> {
        let line = self.line(after(self.deadline), SMALL, "the greeting")?;
        if parse(&line)?.greeting.is_none() {
            return Err(not_qmp(&line));
        }
        self.execute("qmp_capabilities", Value::Null)
    }

    /// The process that listens on the socket.
    pub fn peer_pid(&self) -> u32 {
        self.wire.peer_pid()
    }

    /// Whether QEMU has closed the connection.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Runs a command with an empty answer; `arguments` is an object or null.
    ///
    /// # Errors
    /// Failed with QEMU's text when it refuses; Guest when it closes the connection; Timeout.
    pub fn execute(&mut self, command: &str, arguments: Value) -> Result<()> {
        self.ask::<Object<Nothing>>(command, arguments).map(drop)
    }

    /// [`Qmp::execute`] for callers that need to know whether QEMU has refused or only the answer is missing.
    pub(crate) fn attempt(&mut self, command: &str, arguments: Value) -> Outcome {
        match self.call::<Object<Nothing>>(command, arguments, None, SMALL) {
            Ok(_) => Outcome::Done,
            Err(CallError::Refused(error)) => Outcome::Refused(error),
            Err(CallError::Unknown(error)) => Outcome::Unknown(error),
        }
    }

    /// Runs a command whose answer is a `T`.
    ///
    /// # Errors
    /// As [`Qmp::execute`], and Failed when the answer is not a `T`.
    pub fn ask<T: DeserializeOwned>(&mut self, command: &str, arguments: Value) -> Result<T> {
        Ok(self.call(command, arguments, None, SMALL)?)
    }

    /// [`Qmp::ask`] for a long answer.
    pub(crate) fn ask_much<T: DeserializeOwned>(&mut self, command: &str, arguments: Value) -> Result<T> {
        Ok(self.call(command, arguments, None, LARGE)?)
    }

    /// [`Qmp::ask`] that also sends a copy of the descriptor, as `getfd` and `add-fd` need it.
    pub(crate) fn ask_with<T: DeserializeOwned>(
        &mut self,
        command: &str,
        arguments: Value,
        file: BorrowedFd<'_>,
    ) -> Result<T> {
        Ok(self.call(command, arguments, Some(file), SMALL)?)
    }

    fn call<T: DeserializeOwned>(
        &mut self,
        command: &str,
        arguments: Value,
        file: Option<BorrowedFd<'_>>,
        limit: usize,
    ) -> Result<T, CallError> {
        self.last_id = self.last_id.wrapping_add(1);
        let named = [("execute".to_owned(), Value::from(command)), ("id".to_owned(), Value::from(self.last_id))];
        let mut request = Map::from_iter(named);
        if !arguments.is_null() {
            request.insert("arguments".to_owned(), arguments);
        }
        let deadline = after(self.deadline);
        let line = format!("{}\n", Value::Object(request));
        let sent = match file {
            None => self.wire.send(line.as_bytes(), deadline),
            Some(file) => self.wire.send_with(line.as_bytes(), file, deadline),
        };
        if let Err(error) = sent {
            return Err(self.failed(command, error).into());
        }
        let failed = |what: String, why: &str| Error::new(ErrorClass::Failed, what).because(answer::shown(why));
        loop {
            let line = self.line(deadline, limit, command)?;
            let message = parse(&line)?;
            if message.event.is_some() {
                self.store_event(&line, message)?;
                continue;
            }
            let is_ours = message.id == Some(self.last_id);
            match (message.error, message.value) {
                // The answer to a malformed request has no id.
                (Some(Object(error)), _) if is_ours || message.id.is_none() => {
                    let why = error.desc.as_deref().unwrap_or("no reason given");
                    return Err(CallError::Refused(failed(format!("QEMU refused the command {command}"), why)));
                }
                (None, Some(value)) if is_ours => {
                    let unusable = |why: String| failed(format!("QEMU's answer to {command} cannot be used"), &why);
                    return answer::read(value.get()).map_err(|why| unusable(why).into());
                }
                (None, None) if is_ours => return Err(not_qmp(&line).into()),
                // The late answer to a call whose deadline had passed.
                _ => {}
            }
        }
    }

    /// The state of the VM.
    ///
    /// # Errors
    /// As [`Qmp::execute`].
    pub fn status(&mut self) -> Result<RunState> {
        let Object(answer): Object<StatusInfo> = self.ask("query-status", Value::Null)?;
        Ok(match answer.status.as_str() {
            "running" => RunState::Running,
            // `postmigrate` after a save whose program may have been killed.
            "paused" | "postmigrate" => RunState::Paused,
            other => RunState::Other(answer::shown(other)),
        })
    }

    /// The size of the RAM object `id` in bytes (`query-memdev` of qapi/machine.json).
    pub(crate) fn memory(&mut self, id: &str) -> Result<u64> {
        let devices: Vec<Object<MemoryDevice>> = self.ask("query-memdev", Value::Null)?;
        let found = devices.iter().map(|Object(device)| device).find(|device| device.id.as_deref() == Some(id));
        let nothing = || Error::new(ErrorClass::Failed, "QEMU does not tell how much RAM the VM has");
        found.map(|device| device.size).ok_or_else(nothing)
    }

    /// The file that the RAM object `id` is mapped from, if there is one.
    pub(crate) fn memory_file(&mut self, id: &str) -> Option<PathBuf> {
        let path = json!({"path": format!("/objects/{id}"), "property": "mem-path"});
        self.ask::<String>("qom-get", path).ok().map(PathBuf::from)
    }

    /// The address in QEMU's memory of the RAM object `id`, if the guest has it at address zero. Only the human monitor has a
    /// command for it: "Host virtual address for 0x0 (ram0) is 0x7f0000000000" (monitor/misc.c).
    pub(crate) fn host_address(&mut self, id: &str) -> Option<u64> {
        let text = self.human("gpa2hva 0").ok()?;
        let address = text.strip_prefix(&format!("Host virtual address for 0x0 ({id}) is 0x"))?;
        u64::from_str_radix(address, 16).ok()
    }

    /// Presses the power button.
    ///
    /// # Errors
    /// As [`Qmp::execute`].
    pub fn power_down(&mut self) -> Result<()> {
        self.execute("system_powerdown", Value::Null)
    }

    /// Ends QEMU without asking the guest. It is a success if QEMU closes the connection instead of an answer.
    ///
    /// # Errors
    /// As [`Qmp::execute`].
    pub fn quit(&mut self) -> Result<()> {
        match self.execute("quit", Value::Null) {
            Err(_) if self.closed => Ok(()),
            other => other,
        }
    }

    /// Pauses the guest.
    ///
    /// # Errors
    /// As [`Qmp::execute`].
    pub fn stop(&mut self) -> Result<()> {
        self.execute("stop", Value::Null)
    }

    /// Resumes the guest.
    ///
    /// # Errors
    /// As [`Qmp::execute`].
    pub fn cont(&mut self) -> Result<()> {
        self.execute("cont", Value::Null)
    }

    /// Runs a command of the human monitor and returns its output. Its errors are output too.
    ///
    /// # Errors
    /// As [`Qmp::execute`].
    pub fn human(&mut self, line: &str) -> Result<String> {
        let answer: String = self.ask_much("human-monitor-command", json!({"command-line": line}))?;
        Ok(answer.trim().to_owned())
    }

    /// The events since the last call; waits at most `wait` for the first one. It is not an error that QEMU has closed the
    /// connection: see [`Qmp::is_closed`].
    ///
    /// # Errors
    /// Interrupted; Failed when a line is not QMP.
    pub fn events(&mut self, wait: Duration) -> Result<Vec<QmpEvent>> {
        let end = after(wait);
        // A flood of events is returned in portions.
        while self.events.len() < MOST_EVENTS {
            // What has arrived is read in any case: after the deadline, since a busy host may run this thread late, and
            // after QEMU has closed the connection, since its last event comes right before that.
            let line = match self.wire.arrived_line(SMALL) {
                Ok(None) if self.events.is_empty() => self.wire.line(SMALL, end).map(Some),
                arrived => arrived,
            };
            let line = match line {
                Ok(Some(line)) => line,
                Ok(None) | Err(WireError::Deadline) => break,
                Err(WireError::Closed) => {
                    self.closed = true;
                    break;
                }
                Err(error) => return Err(self.failed("events", error)),
            };
            let message = parse(&line)?;
            if message.event.is_some() {
                self.store_event(&line, message)?;
            }
        }
        Ok(std::mem::take(&mut self.events))
    }

    /// Stores the event in `line` for [`Qmp::events`].
    fn store_event(&mut self, line: &[u8], message: Message<'_>) -> Result<()> {
        // Its data become a tree, so it must be small, whatever the limit for the awaited answer is.
        if line.len() > SMALL || self.events.len() >= MOST_EVENTS {
            return Err(Error::new(ErrorClass::Failed, "QEMU's events are too many or too large"));
        }
        let data = match message.data {
            Some(data) => serde_json::from_str(data.get()).map_err(|_| not_qmp(line))?,
            None => Value::Null,
        };
        self.events.push(QmpEvent { name: message.event.unwrap_or_default(), data });
        Ok(())
    }

    fn line(&mut self, deadline: Instant, limit: usize, during: &str) -> Result<Vec<u8>> {
        self.wire.line(limit, deadline).map_err(|error| self.failed(during, error))
    }

    fn failed(&mut self, during: &str, error: WireError) -> Error {
        self.closed |= matches!(error, WireError::Closed);
        wire_error(during, error)
    }
}

#[derive(Deserialize)]
struct StatusInfo {
    status: String,
}

/// `Memdev` of qapi/machine.json.
#[derive(Deserialize)]
struct MemoryDevice {
    id: Option<String>,
    size: u64,
}

fn wire_error(during: &str, error: WireError) -> Error {
    let (class, why) = match error {
        WireError::Interrupted(error) => return error,
        WireError::NobodyListens => (ErrorClass::Guest, "nobody listens on its QMP socket".to_owned()),
        WireError::Busy => (ErrorClass::Timeout, "other programs wait in the queue of its QMP socket".to_owned()),
        WireError::Closed => (ErrorClass::Guest, "it closed the connection".to_owned()),
        WireError::Deadline => (
            ErrorClass::Timeout,
            "no answer in time; QMP serves one client at a time, so another one may be connected".to_owned(),
        ),
        WireError::TooLong(limit) => (ErrorClass::Failed, format!("its answer has more than {limit} bytes")),
        WireError::Io(error) => (ErrorClass::Failed, error.to_string()),
    };
    Error::new(class, format!("QEMU cannot be reached through QMP ({during})")).because(why)
}

#[cfg(test)]
mod tests;
