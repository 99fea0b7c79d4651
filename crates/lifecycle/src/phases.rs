//! Numbered phases of a verb: each is announced, timed and closed whatever happens in it.

use std::time::Instant;

use model::event::PhaseOutcome;
use model::{Event, EventSink, Result};

/// What a phase has to say when it worked.
pub(crate) enum Outcome<T> {
    /// It did its work; the text is the fact worth keeping.
    Done(T, String),
    /// There was nothing to do, for the reason given.
    Skipped(T, String),
}

impl<T> Outcome<T> {
    /// What the work gave.
    pub(crate) fn into_value(self) -> T {
        match self {
            Outcome::Done(value, _) | Outcome::Skipped(value, _) => value,
        }
    }
}

/// The phases of one verb.
pub(crate) struct Phases<'a> {
    events: &'a dyn EventSink,
    total: u32,
    next: u32,
}

impl<'a> Phases<'a> {
    /// A verb of `total` phases.
    pub(crate) fn new(events: &'a dyn EventSink, total: u32) -> Self {
        Phases { events, total, next: 1 }
    }

    /// Tells how many phases are still to come, now that it is known.
    pub(crate) fn expect(&mut self, coming: u32) {
        self.total = self.next - 1 + coming;
    }

    /// Runs one phase.
    ///
    /// # Errors
    /// Those of `work`.
    pub(crate) fn run<T>(&mut self, title: &str, work: impl FnOnce() -> Result<Outcome<T>>) -> Result<T> {
        let number = self.next;
        self.next += 1;
        self.events.emit(Event::PhaseStarted { number, total: self.total, title: title.to_owned() });
        let begin = Instant::now();
        let result = host::interrupt::check().and_then(|()| work());
        let (value, outcome) = match result {
            Ok(Outcome::Done(value, fact)) => (Ok(value), PhaseOutcome::Done(fact)),
            Ok(Outcome::Skipped(value, reason)) => (Ok(value), PhaseOutcome::Skipped(reason)),
            Err(fault) => (Err(fault), PhaseOutcome::Failed),
        };
        self.events.emit(Event::PhaseFinished { number, title: title.to_owned(), elapsed: begin.elapsed(), outcome });
        value
    }
}
