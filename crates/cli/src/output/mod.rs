//! Everything that the program says: results on stdout, talk on stderr, for people or for programs.
//!
//! The texts are made by pure functions, one file a kind; [`Output`] is the only writer. No verb logic here.

mod consent;
mod duration;
mod error;
pub(crate) mod forwards;
mod human;
mod json;
mod live;
mod log_lines;
mod mode;
mod printable;
pub(crate) mod report;
pub(crate) mod saved;
mod style;
pub(crate) mod summary;
pub(crate) mod table;
pub(crate) mod typed;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use model::requirement::Consent;
use model::{Error, ErrorClass, EventSink, Result};

use crate::args::{Format, Invocation, OutputArgs};
use consent::{Asking, TerminalConsent};
use human::Human;
use json::JsonLines;
pub(crate) use mode::{Mode, Surroundings};
use printable::{LogText, escaped_json, for_terminal};
use style::Style;
use typed::CommandPrefix;

/// The program's voice. One for a process.
pub(crate) struct Output {
    mode: Mode,
    events: Events,
    prefix: CommandPrefix,
    assume_yes: bool,
    /// Whether results are read on a terminal.
    on_terminal: bool,
}

enum Events {
    Human(Human),
    Json(JsonLines),
}

impl Output {
    /// A voice as the flags and the surroundings want it; `program` is how the user calls this program, for the
    /// commands that messages propose.
    pub(crate) fn new(invocation: &Invocation, surroundings: Surroundings, program: String) -> Self {
        let globals = &invocation.globals;
        let mode = Mode::choose(globals, surroundings);
        let events = match mode.events {
            Format::Human => Events::Human(Human::new(mode)),
            Format::Json => Events::Json(JsonLines::new(mode)),
        };
        Output {
            mode,
            events,
            prefix: CommandPrefix::new(program, &invocation.globals, invocation.instance()),
            assume_yes: globals.yes,
            on_terminal: surroundings.stdout_terminal,
        }
    }

    /// Who listens to the engine.
    pub(crate) fn events(&self) -> &dyn EventSink {
        match &self.events {
            Events::Human(human) => human,
            Events::Json(json) => json,
        }
    }

    /// How the user agrees to something: by `--yes`, or by an answer on the terminal.
    pub(crate) fn consent(&self) -> impl Consent {
        let asking = match (self.assume_yes, self.mode.may_ask, &self.events) {
            (true, ..) => Asking::Agreed,
            (false, true, Events::Human(human)) => Asking::OnTerminal(human),
            (false, ..) => Asking::Nobody,
        };
        TerminalConsent { asking }
    }

    /// How commands are typed that messages propose.
    pub(crate) fn prefix(&self) -> &CommandPrefix {
        &self.prefix
    }

    /// Writes a result: `text` ends with a line break or is empty.
    ///
    /// # Errors
    /// A Failed error when stdout cannot take it. A reader who has gone away (`| head`) is no error.
    pub(crate) fn result(&self, text: &str) -> Result<()> {
        if self.on_terminal {
            self.result_bytes(for_terminal(text).as_bytes())
        } else {
            self.result_bytes(text.as_bytes())
        }
    }

    /// How a log is written: as it is where `raw` says so or nobody sits at a terminal, else line by line and without what
    /// steers a terminal.
    pub(crate) fn log(&self, raw: bool) -> LogOutput<'_> {
        LogOutput { output: self, text: (self.on_terminal && !raw).then(LogText::default) }
    }

    /// Writes a result as it is.
    fn result_bytes(&self, bytes: &[u8]) -> Result<()> {
        self.quieten();
        let mut stdout = io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(Error::new(ErrorClass::Failed, "cannot write the result").because(error))
            }
            _ => Ok(()),
        }
    }

    /// Writes what a verb reports, in the format that is asked for.
    ///
    /// # Errors
    /// As [`Output::result`].
    pub(crate) fn report<T: serde::Serialize>(
        &self,
        arguments: OutputArgs,
        value: &T,
        human: impl FnOnce(&T, Style) -> String,
    ) -> Result<()> {
        match arguments.output {
            Format::Json => self.result_json(value),
            Format::Human => self.result(&human(value, self.result_style())),
        }
    }

    /// Writes a value as JSON.
    ///
    /// # Errors
    /// As [`Output::result`].
    pub(crate) fn result_json(&self, value: &impl serde::Serialize) -> Result<()> {
        self.written_json(serde_json::to_string_pretty(value))
    }

    /// Writes a value as JSON on one line, for results that come one after the other.
    ///
    /// # Errors
    /// As [`Output::result`].
    pub(crate) fn result_json_line(&self, value: &impl serde::Serialize) -> Result<()> {
        self.written_json(serde_json::to_string(value))
    }

    fn written_json(&self, text: serde_json::Result<String>) -> Result<()> {
        let text =
            text.map_err(|error| Error::new(ErrorClass::Failed, "cannot write the result as JSON").because(error))?;
        self.result(&(escaped_json(&text) + "\n"))
    }

    /// Tells an error and gives the exit code of the process.
    pub(crate) fn error(&self, error: &Error) -> ExitCode {
        self.quieten();
        match &self.events {
            Events::Human(_) => {
                let text = error::render(error, &self.prefix, Style::new(self.mode.color_stderr));
                write_stderr(&text);
            }
            Events::Json(json) => json.error(error, &self.prefix),
        }
        ExitCode::from(error.class().exit_code())
    }

    /// How results look.
    pub(crate) fn result_style(&self) -> Style {
        Style::new(self.mode.color_stdout)
    }

    /// Takes the live lines away; call before another program gets the terminal.
    pub(crate) fn quieten(&self) {
        if let Events::Human(human) = &self.events {
            human.quieten();
        }
    }
}

/// Writes a log piece by piece.
pub(crate) struct LogOutput<'a> {
    output: &'a Output,
    text: Option<LogText>,
}

impl LogOutput<'_> {
    /// Writes the next piece.
    ///
    /// # Errors
    /// As [`Output::result`].
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.text {
            Some(text) => self.output.result_bytes(text.take(bytes).as_bytes()),
            None => self.output.result_bytes(bytes),
        }
    }

    /// Writes what is left of a line that did not end.
    ///
    /// # Errors
    /// As [`Output::result`].
    pub(crate) fn end(mut self) -> Result<()> {
        match &mut self.text {
            Some(text) => self.output.result_bytes(text.end().as_bytes()),
            None => Ok(()),
        }
    }
}

impl Surroundings {
    /// What this process sees.
    pub(crate) fn of_process() -> Self {
        Surroundings {
            stdin_terminal: io::stdin().is_terminal(),
            stdout_terminal: io::stdout().is_terminal(),
            stderr_terminal: io::stderr().is_terminal(),
            no_color: std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()),
            dumb_terminal: std::env::var_os("TERM").is_none_or(|value| value.is_empty() || value == "dumb"),
        }
    }
}

/// Writes talk. Nobody can be told when that fails, so nobody is.
fn write_stderr(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(for_terminal(text).as_bytes()).and_then(|()| stderr.flush());
}
