//! Programs run with a deadline: output captured or streamed, errors that can be pasted into a shell.

#![allow(unused_variables, unused_mut, dead_code, clippy::unimplemented)]

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use model::{EventSink, Result};

/// A program to run. Its standard input is empty unless [`Command::input`] is called.
#[derive(Debug, Clone)]
pub struct Command {
    program: OsString,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    folder: Option<PathBuf>,
    input: Option<Vec<u8>>,
    deadline: Duration,
}

/// What a program printed and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The exit code; 128 + N for a death by signal N.
    pub code: i32,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
}

impl Command {
    /// `program` by name (found through PATH) or path; the deadline is 60 s until set.
    pub fn new(program: impl Into<OsString>) -> Self {
        unimplemented!()
    }
    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        unimplemented!()
    }
    /// Adds arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        unimplemented!()
    }
    /// Sets a variable of its environment (the rest is inherited).
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        unimplemented!()
    }
    /// Sets its working directory.
    #[must_use]
    pub fn current_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        unimplemented!()
    }
    /// Gives it these bytes as standard input.
    #[must_use]
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        unimplemented!()
    }
    /// How long it may take; then its process group is ended and the fault is of class Timeout.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        unimplemented!()
    }
    /// The command as a line that can be pasted into a shell.
    pub fn display(&self) -> String {
        unimplemented!()
    }
    /// Runs it and returns its output whatever its exit code; a fault only when it cannot be started, is
    /// interrupted or runs over its deadline.
    pub fn output(&self) -> Result<Output> {
        unimplemented!()
    }
    /// Runs it; a non-zero exit is a fault with the command, the exit code and the last lines of its stderr.
    /// Returns standard output as text (invalid UTF-8 replaced).
    pub fn run(&self) -> Result<String> {
        unimplemented!()
    }
    /// Runs it like [`Command::run`] and hands every line of stdout and stderr (carriage returns end a line too)
    /// to `line` as it comes; the deadline and an interrupt end its whole process group.
    pub fn run_streaming(&self, events: &dyn EventSink, line: &mut dyn FnMut(&str)) -> Result<()> {
        unimplemented!()
    }
}
