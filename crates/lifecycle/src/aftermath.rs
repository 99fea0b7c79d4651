//! What an interrupted verb has left, as it is now. An interrupt is one whatever else went wrong because of it.

use host::interrupt;
use model::{Error, ErrorClass};

use crate::context::Context;
use crate::instance::awake;
use crate::instance::observe::{Observed, observe};
use crate::saved_vm::suspend;

/// An error of class Interrupted with this headline and the reasons of `error`, whose remedies are none of it.
pub(crate) fn interrupted(what: impl Into<String>, error: &Error) -> Error {
    let what = what.into();
    let reasons = std::iter::once(error.what()).chain(error.why().iter().map(String::as_str));
    let reasons: Vec<&str> = reasons.filter(|reason| *reason != "interrupted" && *reason != what).collect();
    reasons.into_iter().fold(Error::new(ErrorClass::Interrupted, what), Error::because)
}

/// The last word of a verb that failed with `error`. Where the user has interrupted it, that is what is told, also where
/// something else failed for that reason, with the state in which the instance of `context` is now, for verbs that concern
/// one.
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
    // The look takes moments.
    let _deferred = interrupt::defer();
    let name = &context.name;
    let start = context.command("start");
    match observe(context) {
        Ok(Observed::Running(_)) if awake::is_paused(&context.paths().vm_dir()) => {
            error.because(format!("{name} is paused")).next(context.command("resume"))
        }
        Ok(Observed::Running(running)) => error
            .because(format!("{name} runs, pid {}", running.process.pid()))
            .next(format!("{start}    # goes on from here"))
            .next(context.command("stop")),
        Ok(Observed::Orphan(process)) => error
            .because(format!("a QEMU of {name} runs, pid {}, whose state cannot be known", process.pid()))
            .next(context.command("status")),
        Ok(Observed::Stopped) if suspend::is_kept(&context.paths().suspended()) => {
            error.because(format!("{name} is suspended")).next(start)
        }
        Ok(Observed::Stopped) => error.because(format!("{name} is stopped; its data are kept")).next(start),
        Ok(Observed::Absent) => error.because(format!("{name} has no VM and no disk")).next(start),
        Err(other) => error.because(format!("the state of {name} is not known: {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_interrupt_has_broken_is_its_reason_once() {
        let error = Error::new(ErrorClass::Interrupted, "interrupted while `ssh` ran").because("the command was: ssh");
        let told = tell(None, error.next("k3s-vm logs"));
        assert_eq!((told.class(), told.next_steps().len()), (ErrorClass::Interrupted, 0));
        assert_eq!(told.to_string(), "interrupted while `ssh` ran: the command was: ssh");
        let failure = Error::new(ErrorClass::Guest, "it died").next("k3s-vm logs");
        assert_eq!(tell(None, failure.clone()), failure);
    }
}
