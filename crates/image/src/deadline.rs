//! One deadline for all steps of a build.

use std::time::{Duration, Instant};

/// A point in time; each step gets what is left until it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    /// `after` from now.
    pub(crate) fn after(after: Duration) -> Self {
        Deadline(Instant::now() + after)
    }
    /// What is left; zero when it has passed.
    pub(crate) fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}
