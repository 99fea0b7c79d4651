//! What each step of a longer work cost, told in lines for `--debug`.

use std::time::Instant;

use model::EventSink;

/// A work whose steps are timed.
pub(crate) struct Steps<'a> {
    work: &'static str,
    events: &'a dyn EventSink,
    begin: Instant,
    last: Instant,
}

impl<'a> Steps<'a> {
    /// Begins now.
    pub(crate) fn begin(work: &'static str, events: &'a dyn EventSink) -> Self {
        let now = Instant::now();
        Steps { work, events, begin: now, last: now }
    }

    /// A step has ended.
    pub(crate) fn done(&mut self, step: &str) {
        let now = Instant::now();
        let milliseconds = |from: Instant| now.duration_since(from).as_secs_f64() * 1000.0;
        let (step_took, all) = (milliseconds(self.last), milliseconds(self.begin));
        self.events.debug(format!("{}: {step} (+{step_took:.1} ms, at {all:.1} ms)", self.work));
        self.last = now;
    }
}
