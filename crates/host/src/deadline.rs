//! The time that is left for a chain of steps, and moments that no duration puts beyond what the clock can tell.

use std::time::{Duration, Instant};

/// As good as for ever: a hundred years. A sum of the clock and more than this may not exist, which would be a panic.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// The moment `duration` from now. Whoever waits longer than a hundred years waits a hundred years.
pub fn moment_after(duration: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(duration.min(FOREVER)).unwrap_or(now)
}

/// A moment that several steps share; each gets what is left until it.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(Instant);

impl Deadline {
    /// `duration` from now.
    pub fn after(duration: Duration) -> Self {
        Deadline(moment_after(duration))
    }

    /// What is left; zero when it has passed.
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_of_more_years_than_the_clock_has_was_a_panic() {
        for duration in [Duration::MAX, Duration::from_secs(u64::MAX / 2), FOREVER] {
            assert!(Deadline::after(duration).left() > FOREVER / 2, "{duration:?}");
        }
        assert!(Deadline::after(Duration::ZERO).left().is_zero());
    }
}
