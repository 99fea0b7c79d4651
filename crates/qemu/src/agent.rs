//! Guest agent client (qemu-ga): sync, ping, programs, files, clock, shutdown. Every call has a deadline.

#![allow(unused_variables, dead_code, clippy::unimplemented)]

use std::path::Path;
use std::time::{Duration, SystemTime};

use model::Result;

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

/// A connection on which the agent has answered.
#[derive(Debug)]
pub struct Agent {}

impl GuestCommand {
    /// The program at `path` with `arguments`.
    pub fn new<A: Into<String>>(path: impl Into<String>, arguments: impl IntoIterator<Item = A>) -> Self {
        unimplemented!()
    }
    /// `script` run by the guest's `/bin/sh -c`.
    pub fn shell(script: impl Into<String>) -> Self {
        unimplemented!()
    }
}

impl Agent {
    /// Connects to the socket in `folder` (`InstancePaths::vm_dir`) until the agent answers a `guest-sync-delimited`;
    /// every attempt is a connection of its own, since one made too early never answers.
    ///
    /// # Errors
    /// Timeout with the last observation; Guest when QEMU is gone (nobody listens).
    pub fn connect(folder: &Path, deadline: Duration) -> Result<Self> {
        unimplemented!()
    }
    /// Whether the agent still answers.
    pub fn ping(&mut self, deadline: Duration) -> Result<()> {
        unimplemented!()
    }
    /// Runs a program and waits for its end; whatever its exit code, its output is returned. On the deadline it is
    /// killed in the guest.
    pub fn exec(&mut self, command: &GuestCommand, deadline: Duration) -> Result<GuestOutput> {
        unimplemented!()
    }
    /// [`Agent::exec`]; a non-zero exit is a fault with the end of its stderr. Returns standard output as text.
    pub fn run(&mut self, command: &GuestCommand, deadline: Duration) -> Result<String> {
        unimplemented!()
    }
    /// The content of a file in the guest; nothing where it does not exist. More than `limit` bytes is a fault.
    pub fn read_file(&mut self, path: &str, limit: usize, deadline: Duration) -> Result<Option<Vec<u8>>> {
        unimplemented!()
    }
    /// Sets the guest's clock.
    pub fn set_time(&mut self, time: SystemTime, deadline: Duration) -> Result<()> {
        unimplemented!()
    }
    /// Asks the guest to power off. The agent does not answer this one.
    pub fn shut_down(&mut self, deadline: Duration) -> Result<()> {
        unimplemented!()
    }
}
