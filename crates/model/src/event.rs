//! Events that the engine emits while it works. The command line prints them.

use std::time::Duration;

use serde::Serialize;

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", content = "detail", rename_all = "kebab-case")]
pub enum StepOutcome {
    /// It did its work; the text is its result ("node k3s-vm is Ready"), or empty.
    Done(String),
    /// Nothing had to be done; the text says why.
    Skipped(String),
    /// It failed; the verb returns the error.
    Failed,
}

/// One event. Numbers of steps begin at 1.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A numbered step of the verb begins.
    StepStarted {
        /// Number of the step.
        number: u32,
        /// How many steps the verb has.
        total: u32,
        /// What it does, as a gerund ("Building the guest image").
        title: String,
    },
    /// Progress of a long task of the step; replaces the last line of the same task.
    Progress {
        /// The task ("packages", "kubernetes", "boot"); several may run at once.
        task: String,
        /// What it does now ("unpacking systemd").
        message: String,
        /// Units done, if they are counted.
        done: Option<u64>,
        /// Units in total, if known.
        total: Option<u64>,
    },
    /// A task of the step ended; its live line is removed.
    TaskFinished {
        /// The task.
        task: String,
    },
    /// The step ended.
    StepFinished {
        /// Number of the step.
        number: u32,
        /// What it did.
        title: String,
        /// How long it took.
        #[serde(serialize_with = "seconds")]
        elapsed: Duration,
        /// How it ended.
        #[serde(flatten)]
        outcome: StepOutcome,
    },
    /// Something the user should know; nothing is wrong.
    Note {
        /// One sentence.
        text: String,
    },
    /// Something the user should look at; the verb continues.
    Warning {
        /// One sentence.
        text: String,
    },
    /// Shown with `--debug` only: commands run, requests sent, steps timed.
    Debug {
        /// One line.
        text: String,
    },
}

fn seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

/// Receives events. Implementations must be quick and never fail.
pub trait EventSink: Send + Sync {
    /// Takes one event.
    fn emit(&self, event: Event);

    /// Emits a note.
    fn note(&self, text: String) {
        self.emit(Event::Note { text });
    }
    /// Emits a warning.
    fn warning(&self, text: String) {
        self.emit(Event::Warning { text });
    }
    /// Emits a line for `--debug`.
    fn debug(&self, text: String) {
        self.emit(Event::Debug { text });
    }
    /// Emits progress of a task without a count of units.
    fn progress(&self, task: &str, message: String) {
        self.emit(Event::Progress { task: task.to_owned(), message, done: None, total: None });
    }
}

/// A sink that drops all events, for callers that want only the result.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl EventSink for Silent {
    fn emit(&self, _event: Event) {}
}
