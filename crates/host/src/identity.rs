//! Proof that a process is the one that was recorded, and signals that can only reach that one.

#![allow(unused_variables, unused_mut, dead_code, clippy::unimplemented)]

use std::time::Duration;

use model::Result;
use serde::{Deserialize, Serialize};

/// What tells a process from every other one, past and future.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// The process id.
    pub pid: u32,
    /// Start time in clock ticks since boot (field 22 of `/proc/PID/stat`, proc(5)).
    pub start_ticks: u64,
    /// `/proc/sys/kernel/random/boot_id` of the boot in which it was started.
    pub boot_id: String,
}

impl ProcessIdentity {
    /// The identity of a live process, or nothing when there is none of that pid (a zombie counts as none).
    pub fn of(pid: u32) -> Result<Option<Self>> {
        unimplemented!()
    }
}

/// A live, proven process, held by a pidfd (pidfd_open(2)): a signal cannot reach a later process of the same pid.
#[derive(Debug)]
pub struct ProcessHandle {
    _pidfd: std::os::fd::OwnedFd,
}

impl ProcessHandle {
    /// Opens the pidfd first and then checks the identity and that `argument` is one of the words of its command
    /// line, as a whole word; nothing if it is dead or another process.
    pub fn open(identity: &ProcessIdentity, argument: &str) -> Result<Option<Self>> {
        unimplemented!()
    }
    /// The process id, for messages.
    pub fn pid(&self) -> u32 {
        unimplemented!()
    }
    /// Whether it still runs (a zombie does not).
    pub fn is_alive(&self) -> bool {
        unimplemented!()
    }
    /// Sends SIGTERM. Success also when it is gone already.
    pub fn terminate(&self) -> Result<()> {
        unimplemented!()
    }
    /// Sends SIGKILL. Success also when it is gone already.
    pub fn kill(&self) -> Result<()> {
        unimplemented!()
    }
    /// Waits for its end (poll(2) on the pidfd, no busy wait); whether it ended within `deadline`.
    pub fn wait(&self, deadline: Duration) -> Result<bool> {
        unimplemented!()
    }
}
