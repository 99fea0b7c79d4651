//! What the engine tells while it works. The engine emits events, the command line prints them.

use std::time::Duration;

use serde::Serialize;

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", content = "detail", rename_all = "kebab-case")]
pub enum StepOutcome {
    /// It did its work; the text is the one fact worth keeping ("node k3s-vm is Ready"), or empty.
    Done(String),
    /// There was nothing to do; the text says why.
    Skipped(String),
    /// It failed; the error follows as the result of the verb.
    Failed,
}

/// One event. `step` numbers begin at 1.
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
    /// News of a long task inside the step; replaces the former line of the same task.
    Progress {
        /// The task ("packages", "kubernetes", "boot"); several may run at once.
        task: String,
        /// The newest fact ("unpacking systemd").
        message: String,
        /// Units done, where they are counted.
        done: Option<u64>,
        /// Units in all, where that is known.
        total: Option<u64>,
    },
    /// A task of the step is over; its live line goes away.
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
    /// Something the user should know, though nothing is wrong.
    Note {
        /// One sentence.
        text: String,
    },
    /// Something the user should look at; the verb goes on.
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

/// Who listens to the events. Implementations must be quick and never fail.
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
    /// Emits news of a task whose units are not counted.
    fn progress(&self, task: &str, message: String) {
        self.emit(Event::Progress { task: task.to_owned(), message, done: None, total: None });
    }
}

/// A sink that keeps nothing; for callers that want only the result.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl EventSink for Silent {
    fn emit(&self, _event: Event) {}
}
