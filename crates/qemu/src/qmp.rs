//! QMP (QEMU Machine Protocol) client: greeting, commands by id, events. QEMU serves one client at a time.

#![allow(unused_variables, dead_code, clippy::unimplemented)]

use std::path::Path;
use std::time::Duration;

use model::Result;
use serde_json::Value;

use crate::Forward;

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

/// A connection to QMP.
#[derive(Debug)]
pub struct Qmp {}

impl Qmp {
    /// Connects to the socket in `folder` (`InstancePaths::vm_dir`) and negotiates; one attempt. `deadline` bounds
    /// the attempt and later every call.
    pub fn connect(folder: &Path, deadline: Duration) -> Result<Self> {
        unimplemented!()
    }
    /// The process that listens on the socket.
    pub fn peer_pid(&self) -> u32 {
        unimplemented!()
    }
    /// Runs a command; `arguments` is an object or null. An error that QEMU reports is a fault with its text.
    pub fn execute(&mut self, command: &str, arguments: Value) -> Result<Value> {
        unimplemented!()
    }
    /// What the VM does.
    pub fn status(&mut self) -> Result<RunState> {
        unimplemented!()
    }
    /// The uuid of the VM.
    pub fn uuid(&mut self) -> Result<String> {
        unimplemented!()
    }
    /// Presses the power button.
    pub fn power_down(&mut self) -> Result<()> {
        unimplemented!()
    }
    /// Ends QEMU; the guest is not asked.
    pub fn quit(&mut self) -> Result<()> {
        unimplemented!()
    }
    /// Stops the guest's CPUs.
    pub fn stop(&mut self) -> Result<()> {
        unimplemented!()
    }
    /// Lets the guest's CPUs go on.
    pub fn cont(&mut self) -> Result<()> {
        unimplemented!()
    }
    /// Runs a command of the human monitor and returns what it printed. Its errors are text too.
    pub fn human(&mut self, line: &str) -> Result<String> {
        unimplemented!()
    }
    /// Opens a port of the host into the running guest.
    pub fn add_forward(&mut self, forward: &Forward) -> Result<()> {
        unimplemented!()
    }
    /// Closes it again; one that is not open is success.
    pub fn remove_forward(&mut self, forward: &Forward) -> Result<()> {
        unimplemented!()
    }
    /// The events that have come since the last call; waits at most `wait` for the first one. Also says when QEMU has
    /// closed the connection.
    pub fn events(&mut self, wait: Duration) -> Result<Vec<QmpEvent>> {
        unimplemented!()
    }
}
