//! The writer of all output.

use std::io::{self, Write};
use std::process::ExitCode;

use model::instance::InstanceName;
use model::requirement::Consent;
use model::{Error, ErrorClass, EventSink, Result};

use super::consent::{Asking, TerminalConsent};
use super::human::Human;
use super::json::JsonLines;
use super::mode::{Mode, Surroundings};
use super::printable::{LogText, escaped_json, for_terminal};
use super::style::Style;
use super::typed::CommandPrefix;
use super::{error, stderr};
use crate::args::{Format, Globals, OutputArgs};

/// Writes results, events and errors. There is one for the process.
pub(crate) struct Output {
    mode: Mode,
    events: Events,
    prefix: CommandPrefix,
    assume_yes: bool,
    /// Whether stdout is a terminal.
    on_terminal: bool,
}

enum Events {
    Human(Human),
    Json(JsonLines),
}

impl Output {
    /// Output as the flags and the surroundings ask for. `instance` and `program`, the command by which the user calls
    /// this program, are for the commands that messages propose.
    pub(crate) fn new(
        globals: &Globals,
        instance: Option<&InstanceName>,
        surroundings: Surroundings,
        program: String,
    ) -> Self {
        let mode = Mode::choose(globals, surroundings);
        let events = match mode.events {
            Format::Human => Events::Human(Human::new(mode)),
            Format::Json => Events::Json(JsonLines::new(mode)),
        };
        Output {
            mode,
            events,
            prefix: CommandPrefix::new(program, globals, instance),
            assume_yes: globals.yes,
            on_terminal: surroundings.stdout_terminal,
        }
    }

    /// The sink for the events of the engine.
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

    /// The beginning of the commands that messages propose.
    pub(crate) fn prefix(&self) -> &CommandPrefix {
        &self.prefix
    }

    /// Writes a result. `text` ends with a line break or is empty.
    ///
    /// # Errors
    /// A Failed error when stdout cannot be written. A closed pipe (`| head`) is no error.
    pub(crate) fn result(&self, text: &str) -> Result<()> {
        if self.on_terminal {
            self.result_bytes(for_terminal(text).as_bytes())
        } else {
            self.result_bytes(text.as_bytes())
        }
    }

    /// A writer for a log. On a terminal it writes whole lines without escape sequences, unless `raw`; elsewhere it
    /// writes the bytes unchanged.
    pub(crate) fn log(&self, raw: bool) -> LogOutput<'_> {
        LogOutput { output: self, text: (self.on_terminal && !raw).then(LogText::default) }
    }

    fn result_bytes(&self, bytes: &[u8]) -> Result<()> {
        self.clear_live_lines();
        let mut stdout = io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(Error::new(ErrorClass::Failed, "cannot write the result").because(error))
            }
            _ => Ok(()),
        }
    }

    /// Writes the result of a verb, as JSON or as the text that `human` makes.
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

    /// Writes the result of a verb as JSON, if that is asked for. For people, its steps and notes say all of it.
    ///
    /// # Errors
    /// As [`Output::result`].
    pub(crate) fn report_to_programs(&self, arguments: OutputArgs, value: &impl serde::Serialize) -> Result<()> {
        self.report(arguments, value, |_, _| String::new())
    }

    /// Writes a value as JSON.
    ///
    /// # Errors
    /// As [`Output::result`].
    pub(crate) fn result_json(&self, value: &impl serde::Serialize) -> Result<()> {
        self.written_json(serde_json::to_string_pretty(value))
    }

    /// Writes a value as JSON on one line, for verbs that write many results.
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

    /// Writes an error, and returns the exit code for it.
    pub(crate) fn error(&self, error: &Error) -> ExitCode {
        self.clear_live_lines();
        match &self.events {
            Events::Human(_) => {
                stderr::write(&error::render(error, &self.prefix, Style::new(self.mode.color_stderr)));
            }
            Events::Json(json) => json.error(error, &self.prefix),
        }
        ExitCode::from(error.class().exit_code())
    }

    /// The style of results.
    pub(crate) fn result_style(&self) -> Style {
        Style::new(self.mode.color_stdout)
    }

    /// Clears the live lines. Call it before another program uses the terminal.
    pub(crate) fn clear_live_lines(&self) {
        if let Events::Human(human) = &self.events {
            human.clear_live_lines();
        }
    }
}

/// Writes a log that comes in pieces.
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

    /// Writes the rest of a last line without a line break.
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
