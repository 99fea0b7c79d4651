//! How the program talks: decided once, from the flags and from what the process is connected to. Pure.

use crate::args::{ColorChoice, Format, Globals};

/// What the process is connected to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Surroundings {
    /// Whether somebody can type answers.
    pub(crate) stdin_terminal: bool,
    /// Whether results are read on a terminal.
    pub(crate) stdout_terminal: bool,
    /// Whether talk is read on a terminal.
    pub(crate) stderr_terminal: bool,
    /// Whether `NO_COLOR` is set (<https://no-color.org>).
    pub(crate) no_color: bool,
    /// Whether the terminal cannot move its cursor.
    pub(crate) dumb_terminal: bool,
}

/// How much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verbosity {
    /// Warnings and errors.
    Quiet,
    /// Steps, notes and live lines, too.
    Normal,
    /// Every step, too.
    Debug,
}

/// How the program talks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mode {
    /// How much is told.
    pub(crate) verbosity: Verbosity,
    /// For whom progress is told.
    pub(crate) events: Format,
    /// Whether lines that change in place are drawn.
    pub(crate) live: bool,
    /// Whether a question can be asked.
    pub(crate) may_ask: bool,
    /// Whether results are coloured.
    pub(crate) color_stdout: bool,
    /// Whether talk is coloured.
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
    fn a_terminal_gets_colour_live_lines_and_questions() {
        let mode = Mode::choose(&globals(), TERMINAL);
        assert!(mode.live && mode.may_ask && mode.color_stdout && mode.color_stderr);
    }

    #[test]
    fn a_pipe_gets_none_of_them() {
        let mode = Mode::choose(&globals(), PIPE);
        assert!(!mode.live && !mode.may_ask && !mode.color_stdout && !mode.color_stderr);
    }

    #[test]
    fn each_stream_is_judged_by_itself() {
        let mode = Mode::choose(&globals(), Surroundings { stdout_terminal: false, ..TERMINAL });
        assert!(!mode.color_stdout && mode.color_stderr && mode.live);
    }

    #[test]
    fn colour_obeys_the_flag_then_the_variable() {
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
    fn live_lines_need_a_terminal_that_nothing_else_writes_to() {
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
    fn programs_are_not_asked() {
        assert!(!Mode::choose(&Globals { events: Format::Json, ..globals() }, TERMINAL).may_ask);
    }
}
