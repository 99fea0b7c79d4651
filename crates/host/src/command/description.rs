//! A command to run: program, arguments, environment, input and deadline.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::quoting::quote;

/// A program to run. Its standard input is empty unless [`Command::input`] is called. It runs in its own process group,
/// so that its children end with it at the deadline and Ctrl-C reaches it only through this program.
#[derive(Debug, Clone)]
pub struct Command {
    pub(super) program: OsString,
    pub(super) arguments: Vec<OsString>,
    pub(super) environment: Vec<(OsString, OsString)>,
    pub(super) directory: Option<PathBuf>,
    pub(super) input: Option<Vec<u8>>,
    pub(super) input_file: Option<PathBuf>,
    pub(super) is_alone: bool,
    pub(super) deadline: Duration,
}

impl Command {
    /// A command that runs `program`, a path or a name to be found in PATH and the directories of system
    /// administration. Its deadline is 60 s unless it is set.
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
    /// Sets an environment variable; the others are inherited. [`Command::display`] shows it: pass secrets with
    /// [`Command::input`].
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }
    /// Sets the working directory.
    #[must_use]
    pub fn current_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }
    /// Sets the standard input. It is never shown.
    #[must_use]
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Some(bytes.into());
        self
    }
    /// Sets the standard input to a file of any size, instead of [`Command::input`].
    #[must_use]
    pub fn input_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.input_file = Some(path.into());
        self
    }
    /// Closes all files that this program has inherited: for commands that read untrusted data.
    #[must_use]
    pub fn alone(mut self) -> Self {
        self.is_alone = true;
        self
    }
    /// Sets how long the command may run. After that its process group is ended, with an error of class Timeout.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The command as a line to paste into a shell.
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

    /// The name of the program, for headlines; with sudo(8) or env(1), that of the program that they run.
    pub(super) fn name(&self) -> String {
        let is_wrapper = |word: &OsStr| word == "sudo" || word == "env";
        let is_option_of_wrapper = |word: &&OsString| {
            let bytes = word.as_encoded_bytes();
            is_wrapper(word) || bytes.starts_with(b"-") || bytes.contains(&b'=')
        };
        let program = Some(&self.program)
            .filter(|program| !is_wrapper(program))
            .or_else(|| self.arguments.iter().find(|word| !is_option_of_wrapper(word)))
            .unwrap_or(&self.program);
        Path::new(program).file_name().unwrap_or(program).to_string_lossy().into_owned()
    }
}
