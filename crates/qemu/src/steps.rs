//! The duration of each step of an operation, as lines for `--debug`.

use std::time::Instant;

use model::EventSink;

/// An operation whose steps are timed.
pub(crate) struct Steps<'a> {
    operation: &'static str,
    events: &'a dyn EventSink,
    begin: Instant,
    last: Instant,
}

impl<'a> Steps<'a> {
    /// The operation begins now.
    pub(crate) fn begin(operation: &'static str, events: &'a dyn EventSink) -> Self {
        let now = Instant::now();
        Steps { operation, events, begin: now, last: now }
    }

    /// A step has ended.
    pub(crate) fn done(&mut self, step: &str) {
        let now = Instant::now();
        let milliseconds = |from: Instant| now.duration_since(from).as_secs_f64() * 1000.0;
        let (step_took, all) = (milliseconds(self.last), milliseconds(self.begin));
        self.events.debug(format!("{}: {step} (+{step_took:.1} ms, at {all:.1} ms)", self.operation));
        self.last = now;
    }
}
