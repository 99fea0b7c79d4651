//! Waits that have a name and a deadline.

#![allow(unused_variables, unused_mut, dead_code, clippy::unimplemented)]

use std::time::Duration;

use model::Result;

/// What a look at the awaited thing showed.
#[derive(Debug)]
pub enum Look<T> {
    /// It is there.
    Ready(T),
    /// Not yet; the text is the newest observation, for the message of a timeout.
    NotYet(String),
}

/// A wait: what for, how long, how often to look.
#[derive(Debug, Clone)]
pub struct Wait<'a> {
    /// What is waited for ("the API server on 127.0.0.1:6443").
    pub what: &'a str,
    /// After this long it fails.
    pub deadline: Duration,
    /// The pause between two looks.
    pub interval: Duration,
}

impl Wait<'_> {
    /// Looks until `look` says ready, fails, the deadline passes (a Timeout fault with the last observation as its
    /// reason) or the user interrupts. `look` is called at least once and gets the time that is left.
    pub fn until<T>(&self, look: impl FnMut(Duration) -> Result<Look<T>>) -> Result<T> {
        unimplemented!()
    }
}
