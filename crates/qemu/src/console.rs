//! Reads the guest's console: signs of death, and the last line worth showing.

#![allow(unused_variables, dead_code, clippy::unimplemented)]

use std::path::PathBuf;

use model::Result;

/// A line that says that the guest cannot go on as it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeathSign {
    /// The kernel panicked.
    KernelPanic(String),
    /// The boot ended in emergency or rescue mode.
    EmergencyMode(String),
    /// The kernel killed a process for want of memory. The guest goes on.
    OutOfMemory(String),
    /// The root filesystem reports errors, or went read-only.
    FilesystemError(String),
}

/// What new console text brought.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConsoleNews {
    /// The last line worth showing to a person, without colours and time stamps.
    pub progress: Option<String>,
    /// systemd units and targets that came up, by description.
    pub started: Vec<String>,
    /// Signs of death, in order.
    pub signs: Vec<DeathSign>,
}

/// Reads what is appended to `vm.log`.
#[derive(Debug)]
pub struct ConsoleReader {
    path: PathBuf,
}

impl DeathSign {
    /// The sign in a line of the console, if it is one.
    pub fn of(line: &str) -> Option<Self> {
        unimplemented!()
    }
    /// Whether waiting on is pointless.
    pub fn is_final(&self) -> bool {
        unimplemented!()
    }
    /// The line.
    pub fn line(&self) -> &str {
        unimplemented!()
    }
}

impl ConsoleReader {
    /// Reads what comes after the present end of the log; call it before the launch.
    pub fn from_end(path: PathBuf) -> Result<Self> {
        unimplemented!()
    }
    /// What has come since the last call.
    pub fn news(&mut self) -> Result<ConsoleNews> {
        unimplemented!()
    }
}
