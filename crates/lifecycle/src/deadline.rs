//! The time that is left for a chain of waits.

use std::time::{Duration, Instant};

/// A moment that several waits share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    /// `duration` from now.
    pub(crate) fn after(duration: Duration) -> Self {
        Deadline(Instant::now() + duration)
    }

    /// What is left; zero when it has passed.
    pub(crate) fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}
