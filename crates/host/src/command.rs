//! Programs run with a deadline: output captured or streamed, errors that can be pasted into a shell.
//!
//! What a program's output means belongs to the caller.

mod ending;
mod errors;
mod exchange;
mod lines;
mod quoting;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use model::{EventSink, Result};

use exchange::{Running, Stream};
use lines::{LineSplitter, Tail};

pub use quoting::{line_of, quote};

/// As much as is kept of what a program prints; more is an error, so that a program cannot eat the host's memory.
const MOST_OUTPUT: usize = 64 * 1024 * 1024;

/// How many of a program's last lines go with an error.
const TAIL_LINES: usize = 20;

/// A program to run. Its standard input is empty unless [`Command::input`] is called. It runs in a process group of
/// its own, so that the deadline ends its children too, and so that Ctrl-C reaches it only through us.
#[derive(Debug, Clone)]
pub struct Command {
    program: OsString,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    directory: Option<PathBuf>,
    input: Option<Vec<u8>>,
    input_file: Option<PathBuf>,
    is_alone: bool,
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
    /// `program` by name (found through PATH, then the directories of system administration) or path; the deadline is
    /// 60 s until set.
    pub fn new(program: impl Into<OsString>) -> Self {
        Command {
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            directory: None,
            input: None,
            input_file: None,
            is_alone: false,
            deadline: Duration::from_secs(60),
        }
    }
    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }
    /// Adds arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }
    /// Sets a variable of its environment (the rest is inherited). It is shown by [`Command::display`]: a secret goes
    /// through [`Command::input`].
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }
    /// Sets its working directory.
    #[must_use]
    pub fn current_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }
    /// Gives it these bytes as standard input. They are never shown.
    #[must_use]
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Some(bytes.into());
        self
    }
    /// Gives it a file as standard input, of any size; instead of [`Command::input`].
    #[must_use]
    pub fn input_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.input_file = Some(path.into());
        self
    }
    /// Gives it no open file of whoever called this program: for programs that see what a guest or a stranger wrote.
    #[must_use]
    pub fn alone(mut self) -> Self {
        self.is_alone = true;
        self
    }
    /// How long it may take; then its process group is ended and the error is of class Timeout.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The command as a line that can be pasted into a shell.
    pub fn display(&self) -> String {
        let mut words = Vec::new();
        for (name, value) in &self.environment {
            words.push(format!("{}={}", name.to_string_lossy(), quote(value)));
        }
        words.push(quote(&self.program));
        words.extend(self.arguments.iter().map(|argument| quote(argument)));
        let line = words.join(" ");
        match &self.directory {
            Some(directory) => format!("(cd {} && {line})", quote(directory.as_os_str())),
            None => line,
        }
    }

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
            Err(error) => Err(errors::with_tail(error, self, &crate::files::last_lines(&stderr, TAIL_LINES))),
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
        let mut tail = crate::files::last_lines(&output.stderr, TAIL_LINES);
        if tail.iter().all(|line| line.trim().is_empty()) {
            tail = crate::files::last_lines(&output.stdout, TAIL_LINES);
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

    /// The program without its directory, for headlines; behind sudo(8) and env(1) the one that they run.
    fn name(&self) -> String {
        let is_wrapper = |word: &OsStr| word == "sudo" || word == "env";
        let is_wrappers_own = |word: &&OsString| {
            let bytes = word.as_encoded_bytes();
            is_wrapper(word) || bytes.starts_with(b"-") || bytes.contains(&b'=')
        };
        let program = Some(&self.program)
            .filter(|program| !is_wrapper(program))
            .or_else(|| self.arguments.iter().find(|word| !is_wrappers_own(word)))
            .unwrap_or(&self.program);
        Path::new(program).file_name().unwrap_or(program).to_string_lossy().into_owned()
    }
}

#[cfg(test)]
mod tests;
