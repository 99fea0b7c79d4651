//! Running a command to its end, with its output captured or handed on line by line.

use std::time::{Duration, Instant};

use model::{EventSink, Result};

use super::description::Command;
use super::errors;
use super::exchange::{Running, Stream};
use super::lines::{LineSplitter, Tail};
use crate::files::last_lines;

/// As much as is kept of what a program prints; more is an error, so that a program cannot eat the host's memory.
const MOST_OUTPUT: usize = 64 * 1024 * 1024;

/// How many of a program's last lines go with an error.
const TAIL_LINES: usize = 20;

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
    /// Runs it and returns its output whatever its exit code; an error only when it cannot be started, is
    /// interrupted, prints more than 64 MiB or runs over its deadline.
    ///
    /// What its children print after it has ended is not waited for.
    ///
    /// # Errors
    /// Host where the program is missing, Timeout, Interrupted, otherwise Failed.
    pub fn output(&self) -> Result<Output> {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let ended = Running::start(self)?.finish(&mut |stream, bytes| {
            let kept = match stream {
                Stream::Stdout => &mut stdout,
                Stream::Stderr => &mut stderr,
            };
            if kept.len() + bytes.len() > MOST_OUTPUT {
                return Err(errors::too_much_output(self, MOST_OUTPUT));
            }
            kept.extend_from_slice(bytes);
            Ok(())
        });
        match ended {
            Ok(code) => Ok(Output { code, stdout, stderr }),
            Err(error) => Err(errors::with_tail(error, self, &last_lines(&stderr, TAIL_LINES))),
        }
    }

    /// Runs it; a non-zero exit is an error with the command, the exit code and the last lines of its stderr.
    /// Returns standard output as text (invalid UTF-8 replaced).
    ///
    /// # Errors
    /// As [`Command::output`], and Failed for a non-zero exit.
    pub fn run(&self) -> Result<String> {
        let output = self.output()?;
        if output.code == 0 {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let mut tail = last_lines(&output.stderr, TAIL_LINES);
        if tail.iter().all(|line| line.trim().is_empty()) {
            tail = last_lines(&output.stdout, TAIL_LINES);
        }
        Err(errors::with_tail(errors::exit(self, output.code), self, &tail))
    }

    /// Runs it like [`Command::run`] and hands every line of stdout and stderr (carriage returns end a line too)
    /// to `line` as it comes; the deadline and an interrupt end its whole process group.
    ///
    /// # Errors
    /// As [`Command::run`].
    pub fn run_streaming(&self, events: &dyn EventSink, line: &mut dyn FnMut(&str)) -> Result<()> {
        events.debug(format!("running {}", self.display()));
        let begin = Instant::now();
        let (mut stdout, mut stderr) = (LineSplitter::default(), LineSplitter::default());
        // A program may explain itself on either stream, so the tail takes both, in the order they came.
        let mut tail = Tail::new(TAIL_LINES);
        let mut take = |text: &str| {
            tail.push(text);
            line(text);
        };
        let ended = Running::start(self)?.finish(&mut |stream, bytes| {
            match stream {
                Stream::Stdout => stdout.push(bytes, &mut take),
                Stream::Stderr => stderr.push(bytes, &mut take),
            }
            Ok(())
        });
        stdout.finish(&mut take);
        stderr.finish(&mut take);
        let tail = tail.into_lines();
        match ended {
            Ok(0) => {
                let taken = Duration::from_millis(u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX));
                events.debug(format!("{} ended after {}", self.name(), humantime::format_duration(taken)));
                Ok(())
            }
            Ok(code) => Err(errors::with_tail(errors::exit(self, code), self, &tail)),
            Err(error) => Err(errors::with_tail(error, self, &tail)),
        }
    }

    /// Runs it, hands every line of its stderr to `line` as it comes, and returns its exit code and stdout. An error of
    /// `line` ends its whole process group and is returned; so do the deadline and an interrupt.
    ///
    /// # Errors
    /// As [`Command::output`], and those of `line`.
    pub fn follow(&self, events: &dyn EventSink, line: &mut dyn FnMut(&str) -> Result<()>) -> Result<(i32, String)> {
        events.debug(format!("running {}", self.display()));
        let (mut stdout, mut stderr) = (Vec::new(), LineSplitter::default());
        let code = Running::start(self)?.finish(&mut |stream, bytes| match stream {
            Stream::Stdout if stdout.len() + bytes.len() > MOST_OUTPUT => {
                Err(errors::too_much_output(self, MOST_OUTPUT))
            }
            Stream::Stdout => {
                stdout.extend_from_slice(bytes);
                Ok(())
            }
            Stream::Stderr => {
                let mut result = Ok(());
                stderr.push(bytes, &mut |text| {
                    if result.is_ok() {
                        result = line(text);
                    }
                });
                result
            }
        })?;
        let mut result = Ok(());
        stderr.finish(&mut |text| result = line(text));
        result?;
        Ok((code, String::from_utf8_lossy(&stdout).into_owned()))
    }
}
