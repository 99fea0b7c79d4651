//! Numbered phases of a verb: each is announced, timed and closed whatever happens in it.

use std::time::Instant;

use model::event::PhaseOutcome;
use model::{Event, EventSink, Fault, FaultClass, Result};

use crate::aftermath;

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

    /// Runs one phase. An interrupt is told with what it has interrupted.
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
            Err(fault) => (Err(in_phase(title, fault)), PhaseOutcome::Failed),
        };
        self.events.emit(Event::PhaseFinished { number, title: title.to_owned(), elapsed: begin.elapsed(), outcome });
        value
    }
}

/// The fault of a phase: of an interrupt, with the phase as its headline ("interrupted while booting the guest").
fn in_phase(title: &str, fault: Fault) -> Fault {
    if fault.class() != FaultClass::Interrupted {
        return fault;
    }
    let mut letters = title.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_lowercase).collect();
    aftermath::interrupted(format!("interrupted while {first}{}", letters.as_str()), &fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupt_is_told_with_what_it_has_interrupted() {
        let fault = Fault::new(FaultClass::Interrupted, "interrupted").context("stopped waiting for the node");
        let told = in_phase("Booting the guest", fault.next("k3s-vm logs"));
        assert_eq!(told.to_string(), "interrupted while booting the guest: stopped waiting for the node");
        assert!(told.next_steps().is_empty(), "what is to be done about a failure is none");
        let failure = Fault::new(FaultClass::Guest, "it died");
        assert_eq!(in_phase("Booting the guest", failure.clone()), failure);
    }
}
