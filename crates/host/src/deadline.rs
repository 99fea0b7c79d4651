//! Deadlines that several steps share, and sums of times that cannot overflow the clock.

use std::time::{Duration, Instant};

/// A hundred years. Adding much more to the clock can overflow, which is a panic.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// The moment `duration` from now, at most a hundred years.
pub fn moment_after(duration: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(duration.min(FOREVER)).unwrap_or(now)
}

/// A deadline that several steps share.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(Instant);

impl Deadline {
    /// The deadline `duration` from now.
    pub fn after(duration: Duration) -> Self {
        Deadline(moment_after(duration))
    }

    /// The time that is left; zero after the deadline.
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
