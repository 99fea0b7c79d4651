//! Numbered steps of a verb: each is announced, timed and closed whatever happens in it.

use std::time::Instant;

use model::event::StepOutcome;
use model::{Error, ErrorClass, Event, EventSink, Result};

use crate::interruption::interrupted;

/// What a step has to say when it worked.
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

/// The steps of one verb.
pub(crate) struct Steps<'a> {
    events: &'a dyn EventSink,
    total: u32,
    next: u32,
}

impl<'a> Steps<'a> {
    /// A verb of `total` steps.
    pub(crate) fn new(events: &'a dyn EventSink, total: usize) -> Self {
        Steps { events, total: count(total), next: 1 }
    }

    /// Tells how many steps are still to come, now that it is known.
    pub(crate) fn expect(&mut self, coming: usize) {
        self.total = self.next - 1 + count(coming);
    }

    /// Runs one step. An interrupt is told with what it has interrupted.
    ///
    /// # Errors
    /// Those of `work`.
    pub(crate) fn run<T>(&mut self, title: &str, work: impl FnOnce() -> Result<Outcome<T>>) -> Result<T> {
        let number = self.next;
        self.next += 1;
        self.events.emit(Event::StepStarted { number, total: self.total, title: title.to_owned() });
        let begin = Instant::now();
        let result = host::interrupt::check().and_then(|()| work());
        let (value, outcome) = match result {
            Ok(Outcome::Done(value, fact)) => (Ok(value), StepOutcome::Done(fact)),
            Ok(Outcome::Skipped(value, reason)) => (Ok(value), StepOutcome::Skipped(reason)),
            Err(error) => (Err(in_step(title, error)), StepOutcome::Failed),
        };
        self.events.emit(Event::StepFinished { number, title: title.to_owned(), elapsed: begin.elapsed(), outcome });
        value
    }
}

fn count(steps: usize) -> u32 {
    u32::try_from(steps).unwrap_or(u32::MAX)
}

/// The error of a step: of an interrupt, with the step as its headline ("interrupted while booting the guest").
fn in_step(title: &str, error: Error) -> Error {
    if error.class() != ErrorClass::Interrupted {
        return error;
    }
    let mut letters = title.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_lowercase).collect();
    interrupted(format!("interrupted while {first}{}", letters.as_str()), &error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupt_is_told_with_what_it_has_interrupted() {
        let error = Error::new(ErrorClass::Interrupted, "interrupted").context("stopped waiting for the node");
        let told = in_step("Booting the guest", error.next("k3s-vm logs"));
        assert_eq!(told.to_string(), "interrupted while booting the guest: stopped waiting for the node");
        assert!(told.next_steps().is_empty(), "what is to be done about a failure is none");
        let failure = Error::new(ErrorClass::Guest, "it died");
        assert_eq!(in_step("Booting the guest", failure.clone()), failure);
    }
}
