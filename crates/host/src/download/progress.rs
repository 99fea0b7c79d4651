//! Progress of a download: bytes, total and rate.

use std::time::{Duration, Instant};

use bytesize::ByteSize;

use super::target::Download;

/// The time between two messages; a shorter one would flicker.
const INTERVAL: Duration = Duration::from_millis(400);

/// The progress of one request.
pub(super) struct Progress<'a> {
    download: &'a Download<'a>,
    begin: Instant,
    last_message: Option<Instant>,
    /// Bytes that had arrived before the request.
    before: u64,
    now: u64,
    total: Option<u64>,
}

impl<'a> Progress<'a> {
    /// The progress of a request that begins after `before` bytes of `total`.
    pub(super) fn new(download: &'a Download<'a>, before: u64, total: Option<u64>) -> Self {
        Progress { download, begin: Instant::now(), last_message: None, before, now: before, total }
    }

    /// Adds `count` bytes and emits a message if it is time.
    pub(super) fn add(&mut self, count: u64) {
        self.now = self.now.saturating_add(count);
        let complete = Some(self.now) == self.total;
        if complete || self.last_message.is_none_or(|last| last.elapsed() >= INTERVAL) {
            self.last_message = Some(Instant::now());
            let message =
                message(self.download.what, self.now, self.total, self.now - self.before, self.begin.elapsed());
            self.download.events.progress(self.download.task, message);
        }
    }
}

/// The message.
fn message(what: &str, now: u64, total: Option<u64>, arrived: u64, elapsed: Duration) -> String {
    let mut text = format!("fetching {what}: {}", ByteSize(now));
    if let Some(total) = total {
        text.push_str(&format!(" of {}", ByteSize(total)));
    }
    // A rate over a shorter time is noise.
    if elapsed >= Duration::from_millis(200) {
        let rate = u128::from(arrived) * 1000 / elapsed.as_millis().max(1);
        text.push_str(&format!(", {}/s", ByteSize(u64::try_from(rate).unwrap_or(u64::MAX))));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_bytes_total_and_rate() {
        let mib = 1 << 20;
        let second = Duration::from_secs(1);
        for (text, expected) in [
            (message("k3s", 3 * mib, Some(66 * mib), 3 * mib, second), "fetching k3s: 3.0 MiB of 66.0 MiB, 3.0 MiB/s"),
            (
                message("k3s", 33 * mib, Some(66 * mib), mib, 2 * second),
                "fetching k3s: 33.0 MiB of 66.0 MiB, 512.0 KiB/s",
            ),
            (message("k3s", 500, None, 500, Duration::ZERO), "fetching k3s: 500 B"),
        ] {
            assert_eq!(text, expected);
        }
    }
}
