//! What a verb that failed or was interrupted reports at last: the error, and the state in which the instance is now.

use host::interrupt;
use model::{Error, ErrorClass};

use crate::context::Context;
use crate::instance::observe::{Observed, observe};
use crate::instance::state::State;
use crate::interruption::interrupted;

/// The error to report for a verb that failed with `error`.
///
/// After an interrupt by the user it is an error of class Interrupted, also where the interrupt made something else fail.
/// Then it also says in which state the instance of `context` is, for verbs that concern one.
pub fn tell(context: Option<&Context<'_>>, error: Error) -> Error {
    let is_interrupt = error.class() == ErrorClass::Interrupted;
    if !is_interrupt && !interrupt::pending() {
        return error;
    }
    let told = interrupted(if is_interrupt { error.what() } else { "interrupted" }, &error);
    match context {
        Some(context) => with_state(context, told),
        None => told,
    }
}

fn with_state(context: &Context<'_>, error: Error) -> Error {
    // Observing takes moments, which a second interrupt must not cut short.
    let _deferred = interrupt::defer();
    let name = &context.name;
    let start = context.command("start");
    let observed = match observe(context) {
        Ok(observed) => observed,
        Err(other) => return error.because(format!("the state of {name} is not known: {other}")),
    };
    match (State::of(&observed, &context.paths()), observed) {
        (State::Paused, _) => error.because(format!("{name} is paused")).next(context.command("resume")),
        (_, Observed::Running(running)) => error
            .because(format!("{name} runs, pid {}", running.process.pid()))
            .next(format!("{start}    # continues from here"))
            .next(context.command("stop")),
        (_, Observed::Orphan(process)) => error
            .because(format!("a QEMU of {name} runs, pid {}, whose state cannot be known", process.pid()))
            .next(context.command("status")),
        (State::Suspended, _) => error.because(format!("{name} is suspended")).next(start),
        (_, Observed::Stopped) => error.because(format!("{name} is stopped; its data are kept")).next(start),
        (_, Observed::Absent) => error.because(format!("{name} has no VM and no disk")).next(start),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupted_verb_reports_each_reason_once() {
        let error = Error::new(ErrorClass::Interrupted, "interrupted while `ssh` ran").because("the command was: ssh");
        let told = tell(None, error.next("k3s-vm logs"));
        assert_eq!((told.class(), told.next_steps().len()), (ErrorClass::Interrupted, 0));
        assert_eq!(told.to_string(), "interrupted while `ssh` ran: the command was: ssh");
        let failure = Error::new(ErrorClass::Guest, "it died").next("k3s-vm logs");
        assert_eq!(tell(None, failure.clone()), failure);
    }
}
