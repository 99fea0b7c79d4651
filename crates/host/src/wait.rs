//! Waits for a condition, with a name, a deadline and a pause between two checks.

use std::time::{Duration, Instant};

use model::{Error, ErrorClass, Result};

use crate::interrupt;

/// The least time that a check gets, so that it never has a timeout of zero.
const LEAST: Duration = Duration::from_millis(1);

/// The result of one check.
#[derive(Debug)]
pub enum Look<T> {
    /// The condition holds.
    Ready(T),
    /// The condition does not hold yet; the text is the newest observation, for the message of a timeout.
    NotYet(String),
}

/// How a wait ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome<T> {
    /// The condition holds.
    Ready(T),
    /// The deadline passed; the text is the last observation.
    TimedOut(String),
}

/// A wait for a condition.
#[derive(Debug, Clone)]
pub struct Wait<'a> {
    /// What is waited for ("the API server on 127.0.0.1:6443").
    pub what: &'a str,
    /// How long to wait at most.
    pub deadline: Duration,
    /// The pause between two checks.
    pub interval: Duration,
}

impl Wait<'_> {
    /// Calls `look` until it says ready or fails, the deadline passes, or the user interrupts. `look` is called at
    /// least once and gets the time that is left, which is never zero; the last call is made at the deadline.
    ///
    /// # Errors
    /// The error of `look`, or one of class Timeout or Interrupted that names what was waited for. That of a timeout
    /// has the last observation as its reason.
    pub fn until<T>(&self, look: impl FnMut(Duration) -> Result<Look<T>>) -> Result<T> {
        match self.outcome(look)? {
            Outcome::Ready(value) => Ok(value),
            Outcome::TimedOut(observation) => Err(self.timed_out(&observation)),
        }
    }

    /// As [`Wait::until`], for callers to which a timeout is no error.
    ///
    /// # Errors
    /// The error of `look`, or one of class Interrupted that names what was waited for.
    pub fn outcome<T>(&self, mut look: impl FnMut(Duration) -> Result<Look<T>>) -> Result<Outcome<T>> {
        let begin = Instant::now();
        loop {
            self.check_interrupt()?;
            let left = self.deadline.saturating_sub(begin.elapsed());
            let observation = match look(left.max(LEAST)).map_err(|error| self.named(error))? {
                Look::Ready(value) => return Ok(Outcome::Ready(value)),
                Look::NotYet(observation) => observation,
            };
            let left = self.deadline.saturating_sub(begin.elapsed());
            if left.is_zero() {
                self.check_interrupt()?;
                return Ok(Outcome::TimedOut(observation));
            }
            interrupt::pause(self.interval.min(left));
        }
    }

    fn check_interrupt(&self) -> Result<()> {
        interrupt::check().map_err(|error| self.named(error))
    }

    /// Adds what was waited for to an interrupt, unless a wait within `look` has done so.
    fn named(&self, error: Error) -> Error {
        if error == interrupt::interrupted() {
            error.context(format!("stopped waiting for {}", self.what))
        } else {
            error
        }
    }

    fn timed_out(&self, observation: &str) -> Error {
        // Shows whole seconds, because the deadline may be what an earlier wait has left.
        let seconds = Duration::from_secs(self.deadline.saturating_add(Duration::from_millis(500)).as_secs());
        let limit = humantime::format_duration(if seconds.is_zero() { self.deadline } else { seconds });
        let error = Error::new(ErrorClass::Timeout, format!("gave up waiting for {} after {limit}", self.what));
        if observation.is_empty() { error } else { error.because(observation) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(deadline_ms: u64) -> Wait<'static> {
        Wait { what: "the moon", deadline: Duration::from_millis(deadline_ms), interval: Duration::from_millis(1) }
    }

    #[test]
    fn checks_until_the_condition_holds() {
        let mut looks = 0;
        let value = wait(600_000).until(|_| {
            looks += 1;
            Ok(if looks == 3 { Look::Ready(looks) } else { Look::NotYet("behind a cloud".to_owned()) })
        });
        assert_eq!(value.unwrap(), 3);
    }

    #[test]
    fn an_interrupt_within_a_check_did_not_say_what_it_had_interrupted() {
        let result = |error: Error| wait(600_000).until(|_| -> Result<Look<()>> { Err(error.clone()) }).unwrap_err();
        let once = result(interrupt::interrupted());
        assert_eq!(once.to_string(), "stopped waiting for the moon: interrupted");
        assert_eq!(result(once.clone()), once, "a wait within a wait is named once");
    }

    #[test]
    fn a_timeout_has_the_last_observation() {
        let mut looks = 0;
        let error = wait(20)
            .until(|_| -> Result<Look<()>> {
                looks += 1;
                Ok(Look::NotYet(if looks == 1 { "first" } else { "behind a cloud" }.to_owned()))
            })
            .unwrap_err();
        assert_eq!(error.class(), ErrorClass::Timeout);
        insta::assert_snapshot!(error, @"gave up waiting for the moon after 20ms: behind a cloud");
    }

    #[test]
    fn checks_once_even_without_time() {
        let mut given = Vec::new();
        let value = wait(0).until(|left| {
            given.push(left);
            Ok(Look::Ready(()))
        });
        assert!(value.is_ok());
        assert_eq!(given, [LEAST]);
    }

    #[test]
    fn an_error_of_a_check_ends_the_wait() {
        let mut looks = 0;
        let error = wait(600_000)
            .until(|_| -> Result<Look<()>> {
                looks += 1;
                Err(Error::new(ErrorClass::Guest, "the guest died"))
            })
            .unwrap_err();
        assert_eq!((error.class(), looks), (ErrorClass::Guest, 1));
    }
}
