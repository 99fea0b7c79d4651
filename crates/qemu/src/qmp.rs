//! QMP (QEMU Machine Protocol) client: greeting, commands by id, events. QEMU serves one client at a time.
//!
//! Source of the protocol: docs/interop/qmp-spec.txt and the qapi schemas of QEMU.

mod block_stream;
mod disk;
mod forwards;
mod migration;

use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use model::paths::InstancePaths;
use model::{Fault, FaultClass, Result};
use serde_json::{Value, json};

use crate::wire::{Wire, WireError};

pub(crate) use migration::Transfer;

/// An event that QEMU sent.
#[derive(Debug, Clone, PartialEq)]
pub struct QmpEvent {
    /// `SHUTDOWN`, `RESET`, `GUEST_PANICKED`, `STOP`, `RESUME`, …
    pub name: String,
    /// Its data; null where it has none.
    pub data: Value,
}

/// What the VM does, as `query-status` tells it (`RunState` of qapi/run-state.json).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunState {
    /// The guest runs.
    Running,
    /// It stands still by order, and `cont` lets it go on.
    Paused,
    /// Any other state, by its name: `guest-panicked`, `shutdown`, `prelaunch`, `inmigrate`, `io-error`, …
    Other(String),
}

/// A VM's RAM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Memory {
    /// Bytes.
    pub(crate) size: u64,
    /// Whether what the guest writes reaches a file.
    pub(crate) shared: bool,
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
    /// Connects to the socket in `folder` (`InstancePaths::vm_dir`) and negotiates; one attempt. `deadline` bounds
    /// the attempt and later every call.
    ///
    /// # Errors
    /// Guest when nobody listens or QEMU closes, Timeout when it stays silent (also while another client is
    /// connected), Failed when what answers is not QMP.
    pub fn connect(folder: &Path, deadline: Duration) -> Result<Self> {
        let wire = Wire::connect(folder, InstancePaths::QMP_SOCKET).map_err(|error| fault("connecting", error))?;
        Self::negotiate(wire, deadline)
    }

    /// The second half of [`Qmp::connect`].
    pub(crate) fn negotiate(wire: Wire, deadline: Duration) -> Result<Self> {
        let mut qmp = Qmp { wire, deadline, last_id: 0, events: Vec::new(), closed: false };
        let greeting = qmp.message(Instant::now() + deadline, "the greeting")?;
        if greeting.get("QMP").is_none() {
            return Err(not_qmp(&greeting.to_string()));
        }
        qmp.execute("qmp_capabilities", Value::Null)?;
        Ok(qmp)
    }

    /// From now on the user's request to stop ends no call: for what must be put right before the end.
    pub(crate) fn ignore_interrupts(&mut self) {
        self.wire.ignore_interrupts();
    }

    /// The process that listens on the socket.
    pub fn peer_pid(&self) -> u32 {
        self.wire.peer_pid()
    }

    /// Whether QEMU has closed the connection.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Runs a command; `arguments` is an object or null.
    ///
    /// # Errors
    /// Failed with QEMU's text when it refuses; Guest when it closes the connection; Timeout.
    pub fn execute(&mut self, command: &str, arguments: Value) -> Result<Value> {
        self.call(command, arguments, None)
    }

    /// Runs a command; a copy of the descriptor goes with it, as `getfd` and `add-fd` want it.
    pub(crate) fn call(&mut self, command: &str, arguments: Value, file: Option<BorrowedFd<'_>>) -> Result<Value> {
        self.last_id += 1;
        let mut request = json!({"execute": command, "id": self.last_id});
        if !arguments.is_null() {
            request["arguments"] = arguments;
        }
        let deadline = Instant::now() + self.deadline;
        let line = format!("{request}\n");
        let sent = match file {
            None => self.wire.send(line.as_bytes(), deadline),
            Some(file) => self.wire.send_with(line.as_bytes(), file, deadline),
        };
        if let Err(error) = sent {
            return Err(self.failed(command, error));
        }
        loop {
            let mut answer = self.message(deadline, command)?;
            if self.keep_event(&answer) {
                continue;
            }
            if let Some(error) = answer.get("error") {
                // An error in the request's form carries no id.
                if answer.get("id").is_none_or(|id| *id == json!(self.last_id)) {
                    let text = error["desc"].as_str().unwrap_or("no reason given");
                    return Err(
                        Fault::new(FaultClass::Failed, format!("QEMU refused the command {command}")).because(text)
                    );
                }
            } else if answer.get("id") == Some(&json!(self.last_id)) {
                return Ok(answer["return"].take());
            }
            // The late answer to a call whose deadline had passed.
        }
    }

    /// What the VM does.
    ///
    /// # Errors
    /// As [`Qmp::execute`].
    pub fn status(&mut self) -> Result<RunState> {
        let answer = self.execute("query-status", Value::Null)?;
        Ok(match answer["status"].as_str().unwrap_or("unknown") {
            "running" => RunState::Running,
            // The latter after its state was written, by a program that may have been killed since.
            "paused" | "postmigrate" => RunState::Paused,
            other => RunState::Other(other.to_owned()),
        })
    }

    /// The uuid of the VM.
    ///
    /// # Errors
    /// As [`Qmp::execute`].
    pub fn uuid(&mut self) -> Result<String> {
        let answer = self.execute("query-uuid", Value::Null)?;
        Ok(answer["UUID"].as_str().unwrap_or_default().to_owned())
    }

    /// The RAM that the object `id` gives (`query-memdev` of qapi/machine.json).
    pub(crate) fn memory(&mut self, id: &str) -> Result<Memory> {
        let answer = self.execute("query-memdev", Value::Null)?;
        let found = answer.as_array().and_then(|devices| devices.iter().find(|device| device["id"] == id));
        match found.map(|device| (device["size"].as_u64(), device["share"].as_bool())) {
            Some((Some(size), Some(shared))) => Ok(Memory { size, shared }),
            _ => {
                Err(Fault::new(FaultClass::Failed, "QEMU does not tell where the VM's RAM is")
                    .because(answer.to_string()))
            }
        }
    }

    /// The file that the RAM of the object `id` is mapped from, if there is one.
    pub(crate) fn memory_file(&mut self, id: &str) -> Option<PathBuf> {
        let path = json!({"path": format!("/objects/{id}"), "property": "mem-path"});
        self.execute("qom-get", path).ok()?.as_str().map(PathBuf::from)
    }

    /// Where in QEMU's memory the RAM of the object `id` begins, if it is what the guest has at address zero. There is only a
    /// command of the human monitor for it: "Host virtual address for 0x0 (ram0) is 0x7f0000000000" (monitor/misc.c).
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
        self.execute("system_powerdown", Value::Null).map(drop)
    }

    /// Ends QEMU; the guest is not asked. A connection that closes instead of an answer is success.
    ///
    /// # Errors
    /// As [`Qmp::execute`].
    pub fn quit(&mut self) -> Result<()> {
        match self.execute("quit", Value::Null) {
            Err(_) if self.closed => Ok(()),
            other => other.map(drop),
        }
    }

    /// Stops the guest's CPUs.
    ///
    /// # Errors
    /// As [`Qmp::execute`].
    pub fn stop(&mut self) -> Result<()> {
        self.execute("stop", Value::Null).map(drop)
    }

    /// Lets the guest's CPUs go on.
    ///
    /// # Errors
    /// As [`Qmp::execute`].
    pub fn cont(&mut self) -> Result<()> {
        self.execute("cont", Value::Null).map(drop)
    }

    /// Runs a command of the human monitor and returns what it printed. Its errors are text too.
    ///
    /// # Errors
    /// As [`Qmp::execute`].
    pub fn human(&mut self, line: &str) -> Result<String> {
        let answer = self.execute("human-monitor-command", json!({"command-line": line}))?;
        Ok(answer.as_str().unwrap_or_default().trim().to_owned())
    }

    /// The events that have come since the last call; waits at most `wait` for the first one. A connection that QEMU
    /// has closed is no fault here: see [`Qmp::is_closed`].
    ///
    /// # Errors
    /// Interrupted, and Failed when what comes is not QMP.
    pub fn events(&mut self, wait: Duration) -> Result<Vec<QmpEvent>> {
        let end = Instant::now() + wait;
        while !self.closed {
            // What has arrived is taken at once; only the first event is waited for.
            let deadline = if self.events.is_empty() { end } else { Instant::now() };
            let line = match self.wire.line(deadline.max(Instant::now() + Duration::from_millis(1))) {
                Ok(line) => line,
                Err(WireError::Deadline) => break,
                Err(WireError::Closed) => {
                    self.closed = true;
                    break;
                }
                Err(error) => return Err(self.failed("events", error)),
            };
            let message = parse(&line)?;
            self.keep_event(&message);
        }
        Ok(std::mem::take(&mut self.events))
    }

    fn keep_event(&mut self, message: &Value) -> bool {
        let Some(name) = message["event"].as_str() else { return false };
        self.events.push(QmpEvent { name: name.to_owned(), data: message["data"].clone() });
        true
    }

    fn message(&mut self, deadline: Instant, during: &str) -> Result<Value> {
        match self.wire.line(deadline) {
            Ok(line) => parse(&line),
            Err(error) => Err(self.failed(during, error)),
        }
    }

    fn failed(&mut self, during: &str, error: WireError) -> Fault {
        self.closed |= matches!(error, WireError::Closed);
        fault(during, error)
    }
}

fn parse(line: &[u8]) -> Result<Value> {
    match serde_json::from_slice::<Value>(line) {
        Ok(message) if message.is_object() => Ok(message),
        _ => Err(not_qmp(&String::from_utf8_lossy(line))),
    }
}

fn not_qmp(line: &str) -> Fault {
    let shown: String = line.chars().take(80).collect();
    Fault::new(FaultClass::Failed, "what answers on the QMP socket is not QEMU").because(format!("it says: {shown}"))
}

fn fault(during: &str, error: WireError) -> Fault {
    let (class, why) = match error {
        WireError::Interrupted(fault) => return fault,
        WireError::NobodyListens => (FaultClass::Guest, "nobody listens on its QMP socket".to_owned()),
        WireError::Busy => (FaultClass::Timeout, "other programs wait in the queue of its QMP socket".to_owned()),
        WireError::Closed => (FaultClass::Guest, "it closed the connection".to_owned()),
        WireError::Deadline => (
            FaultClass::Timeout,
            "no answer in time; QMP serves one client at a time, so another one may be connected".to_owned(),
        ),
        WireError::Io(error) => (FaultClass::Failed, error.to_string()),
    };
    Fault::new(class, format!("QEMU cannot be reached through QMP ({during})")).because(why)
}
