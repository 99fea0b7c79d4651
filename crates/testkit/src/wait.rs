//! Waits for tests, with a deadline. A timeout names the line of the caller.

use std::time::{Duration, Instant};

/// Far longer than anything takes on a busy machine: only tests that fail reach it.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// Waits until `has_happened`.
///
/// # Panics
/// When [`DEADLINE`] has passed, with the caller's line.
#[track_caller]
pub fn until(mut has_happened: impl FnMut() -> bool) {
    value(|| has_happened().then_some(()));
}

/// Calls `ask` until it returns a value.
///
/// # Panics
/// As [`until`].
#[track_caller]
pub fn value<T>(ask: impl FnMut() -> Option<T>) -> T {
    let Some(value) = value_within(DEADLINE, ask) else { panic!("waited {DEADLINE:?} in vain") };
    value
}

/// Calls `ask` until it returns a value; `None` when `deadline` has passed.
fn value_within<T>(deadline: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + deadline;
    loop {
        let value = ask();
        if value.is_some() || Instant::now() >= end {
            return value;
        }
        // The awaited process needs the CPU too.
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_in_vain_never_ended() {
        assert_eq!(value_within(Duration::ZERO, || None::<()>), None);
    }

    #[test]
    fn a_value_that_comes_late_is_taken() {
        let mut asked = 0;
        let mut ask = || {
            asked += 1;
            (asked == 3).then_some(asked)
        };
        assert_eq!(value(&mut ask), 3);
    }
}
