//! Runs a command to its end and captures its output or passes it on line by line.

use std::time::{Duration, Instant};

use model::{EventSink, Result};

use super::description::Command;
use super::errors;
use super::lines::{LineSplitter, Tail};
use super::running::{Running, Stream};
use crate::files::last_lines;

/// The most that a program may print, so that it cannot fill the host's memory.
const MOST_OUTPUT: usize = 64 * 1024 * 1024;

/// How many of the last lines of output an error shows.
const TAIL_LINES: usize = 20;

/// The output and the exit code of a program.
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
    /// Runs the command and returns its output, whatever its exit code. Does not wait for output of its children after
    /// it has ended.
    ///
    /// # Errors
    /// Of class Host if the program is missing, Timeout at the deadline, Interrupted, or Failed if it cannot be started
    /// or prints more than 64 MiB.
    pub fn output(&self) -> Result<Output> {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let ended = Running::start(self)?.finish(&mut |stream, bytes| {
            let captured = match stream {
                Stream::Stdout => &mut stdout,
                Stream::Stderr => &mut stderr,
            };
            if captured.len() + bytes.len() > MOST_OUTPUT {
                return Err(errors::too_much_output(self, MOST_OUTPUT));
            }
            captured.extend_from_slice(bytes);
            Ok(())
        });
        match ended {
            Ok(code) => Ok(Output { code, stdout, stderr }),
            Err(error) => Err(errors::with_tail(error, self, &last_lines(&stderr, TAIL_LINES))),
        }
    }

    /// Runs the command and returns its standard output as text, with invalid UTF-8 replaced.
    ///
    /// # Errors
    /// As [`Command::output`], and Failed for a non-zero exit code, with the last lines of its output.
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

    /// Runs the command and calls `line` with every line of stdout and stderr as it comes. A carriage return ends a
    /// line, too.
    ///
    /// # Errors
    /// As [`Command::run`].
    pub fn run_streaming(&self, events: &dyn EventSink, line: &mut dyn FnMut(&str)) -> Result<()> {
        events.debug(format!("running {}", self.display()));
        let begin = Instant::now();
        let (mut stdout, mut stderr) = (LineSplitter::default(), LineSplitter::default());
        // A program may report its error on either stream.
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

    /// Runs the command, calls `line` with every line of its stderr as it comes, and returns its exit code and stdout.
    ///
    /// # Errors
    /// As [`Command::output`], and an error of `line`, which ends the process group.
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
