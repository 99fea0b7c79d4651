//! The mode of output, chosen once from the flags and the surroundings of the process.

use std::io::{self, IsTerminal};

use crate::args::{ColorChoice, Format, Globals};

/// What the process is connected to, and what its environment says about colors and terminals.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Surroundings {
    /// Whether stdin is a terminal.
    pub(crate) stdin_terminal: bool,
    /// Whether stdout is a terminal.
    pub(crate) stdout_terminal: bool,
    /// Whether stderr is a terminal.
    pub(crate) stderr_terminal: bool,
    /// Whether `NO_COLOR` is set (<https://no-color.org>).
    pub(crate) no_color: bool,
    /// Whether the terminal cannot move its cursor.
    pub(crate) dumb_terminal: bool,
}

impl Surroundings {
    /// Those of this process.
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

/// How much is printed to stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verbosity {
    /// Warnings and errors.
    Quiet,
    /// Also steps, notes and live lines.
    Normal,
    /// Also commands, requests and the beginning of steps.
    Debug,
}

/// The mode of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mode {
    /// How much is printed to stderr.
    pub(crate) verbosity: Verbosity,
    /// The format of progress and errors.
    pub(crate) events: Format,
    /// Whether lines that change in place are drawn.
    pub(crate) live: bool,
    /// Whether a question can be asked.
    pub(crate) may_ask: bool,
    /// Whether results are colored.
    pub(crate) color_stdout: bool,
    /// Whether stderr is colored.
    pub(crate) color_stderr: bool,
}

impl Mode {
    /// The mode for these flags in these surroundings.
    pub(crate) fn choose(globals: &Globals, surroundings: Surroundings) -> Self {
        let verbosity = match (globals.debug, globals.quiet) {
            (true, _) => Verbosity::Debug,
            (false, true) => Verbosity::Quiet,
            (false, false) => Verbosity::Normal,
        };
        let human = globals.events == Format::Human;
        let color_on = |terminal: bool| match globals.color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => terminal && !surroundings.no_color && !surroundings.dumb_terminal,
        };
        Mode {
            verbosity,
            events: globals.events,
            live: human
                && verbosity == Verbosity::Normal
                && surroundings.stderr_terminal
                && !surroundings.dumb_terminal,
            may_ask: human && surroundings.stdin_terminal && surroundings.stderr_terminal,
            color_stdout: color_on(surroundings.stdout_terminal),
            color_stderr: color_on(surroundings.stderr_terminal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMINAL: Surroundings = Surroundings {
        stdin_terminal: true,
        stdout_terminal: true,
        stderr_terminal: true,
        no_color: false,
        dumb_terminal: false,
    };
    const PIPE: Surroundings =
        Surroundings { stdin_terminal: false, stdout_terminal: false, stderr_terminal: false, ..TERMINAL };

    fn globals() -> Globals {
        Globals {
            project: None,
            name: None,
            debug: false,
            set: Vec::new(),
            yes: false,
            quiet: false,
            color: ColorChoice::Auto,
            events: Format::Human,
        }
    }

    #[test]
    fn a_terminal_gets_colors_live_lines_and_questions() {
        let mode = Mode::choose(&globals(), TERMINAL);
        assert!(mode.live && mode.may_ask && mode.color_stdout && mode.color_stderr);
    }

    #[test]
    fn a_pipe_gets_none_of_them() {
        let mode = Mode::choose(&globals(), PIPE);
        assert!(!mode.live && !mode.may_ask && !mode.color_stdout && !mode.color_stderr);
    }

    #[test]
    fn each_stream_has_its_own_color_mode() {
        let mode = Mode::choose(&globals(), Surroundings { stdout_terminal: false, ..TERMINAL });
        assert!(!mode.color_stdout && mode.color_stderr && mode.live);
    }

    #[test]
    fn the_color_flag_overrides_the_variable() {
        let no_color = Surroundings { no_color: true, ..TERMINAL };
        for (choice, surroundings, expected) in [
            (ColorChoice::Auto, no_color, false),
            (ColorChoice::Always, no_color, true),
            (ColorChoice::Always, PIPE, true),
            (ColorChoice::Never, TERMINAL, false),
            (ColorChoice::Auto, Surroundings { dumb_terminal: true, ..TERMINAL }, false),
        ] {
            let mode = Mode::choose(&Globals { color: choice, ..globals() }, surroundings);
            assert_eq!(mode.color_stderr, expected, "{choice:?} {surroundings:?}");
        }
    }

    #[test]
    fn live_lines_need_a_terminal_without_other_output() {
        for other in [
            Globals { debug: true, ..globals() },
            Globals { quiet: true, ..globals() },
            Globals { events: Format::Json, ..globals() },
        ] {
            assert!(!Mode::choose(&other, TERMINAL).live, "{other:?}");
        }
        assert!(!Mode::choose(&globals(), Surroundings { dumb_terminal: true, ..TERMINAL }).live);
    }

    #[test]
    fn json_events_disable_questions() {
        assert!(!Mode::choose(&Globals { events: Format::Json, ..globals() }, TERMINAL).may_ask);
    }
}
