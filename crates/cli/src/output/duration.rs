//! Durations as text.

use std::time::Duration;

/// `0.4 s`, `71.3 s`, `2 min 05 s`, `1 h 02 min`.
pub(crate) fn show(duration: Duration) -> String {
    let tenths = (duration.as_secs_f64() * 10.0).round() / 10.0;
    // Rounded before the unit is chosen, so that there is no "120.0 s" besides "2 min 00 s".
    if tenths < 120.0 {
        return format!("{tenths:.1} s");
    }
    let seconds = duration.as_secs_f64().round() as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, minutes, seconds) => format!("{minutes} min {seconds:02} s"),
        (hours, minutes, _) => format!("{hours} h {minutes:02} min"),
    }
}

/// As [`show`] without tenths, for a time that is still running.
pub(crate) fn show_running(duration: Duration) -> String {
    match duration.as_secs() {
        seconds if seconds < 120 => format!("{seconds} s"),
        seconds => show(Duration::from_secs(seconds)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_has_its_unit() {
        for (milliseconds, shown, running) in [
            (0, "0.0 s", "0 s"),
            (440, "0.4 s", "0 s"),
            (71_320, "71.3 s", "71 s"),
            (119_940, "119.9 s", "119 s"),
            (119_970, "2 min 00 s", "119 s"),
            (125_000, "2 min 05 s", "2 min 05 s"),
            (514_000, "8 min 34 s", "8 min 34 s"),
            (3_725_000, "1 h 02 min", "1 h 02 min"),
        ] {
            assert_eq!(show(Duration::from_millis(milliseconds)), shown);
            assert_eq!(show_running(Duration::from_millis(milliseconds)), running);
        }
    }
}
