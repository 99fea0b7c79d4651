//! Starts QEMU so that it outlives the program that started it, and tells why it did not come up.

#![allow(unused_variables, dead_code, clippy::unimplemented)]

use std::path::PathBuf;
use std::process::Child;
use std::time::Duration;

use host::identity::ProcessIdentity;
use model::{EventSink, Result};

use crate::{Machine, Qemu};

/// A start: what, with which QEMU, where its output goes.
#[derive(Debug)]
pub struct Launch<'a> {
    /// The emulator.
    pub qemu: &'a Qemu,
    /// The VM.
    pub machine: &'a Machine,
    /// Takes QEMU's stdout and stderr and the guest's console; made with 0600 if needed, written at its end.
    pub log: PathBuf,
    /// How long QEMU may take until QMP answers.
    pub deadline: Duration,
}

/// A QEMU that runs and has answered on QMP; dropping it leaves it running.
#[derive(Debug)]
pub struct Launched {
    identity: ProcessIdentity,
    child: Child,
}

impl Launch<'_> {
    /// Starts QEMU and returns when its QMP answers: ports and disk are its own by then.
    ///
    /// # Errors
    /// Port when a host port is taken (names who holds it), State when another QEMU holds the disk, Host when the
    /// accelerator cannot be used, Timeout when QMP stays silent (QEMU is killed), Guest for any other early death,
    /// with its last lines.
    pub fn run(&self, events: &dyn EventSink) -> Result<Launched> {
        unimplemented!()
    }
}

impl Launched {
    /// What tells the process from every other.
    pub fn identity(&self) -> &ProcessIdentity {
        &self.identity
    }
    /// How it ended ("exit status: 1", "signal: 9 (SIGKILL)"), or nothing while it runs. Reaps it.
    pub fn ended(&mut self) -> Option<String> {
        unimplemented!()
    }
}
