//! Events as text: log lines, live lines on a terminal, and signs of life elsewhere.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use model::{Event, EventSink};

use super::live::Live;
use super::log_lines::{LogLines, news};
use super::mode::Mode;
use super::printable::printable;
use super::stderr;
use super::style::Style;

/// How often to check whether a sign of life is due.
const TICK_INTERVAL: Duration = Duration::from_secs(3);

/// The event sink of text output.
pub(crate) struct Human {
    shared: Arc<Shared>,
    ticker: Option<JoinHandle<()>>,
}

struct Shared {
    begin: Instant,
    state: Mutex<State>,
    ended: Condvar,
}

struct State {
    lines: LogLines,
    live: Option<Live>,
    over: bool,
}

impl Human {
    /// A sink of this mode.
    pub(crate) fn new(mode: Mode) -> Self {
        let style = Style::new(mode.color_stderr);
        let state = State {
            lines: LogLines::new(mode.verbosity, style, !mode.live),
            live: mode.live.then(|| Live::new(style)),
            over: false,
        };
        let shared = Arc::new(Shared { begin: Instant::now(), state: Mutex::new(state), ended: Condvar::new() });
        let ticker = (!mode.live).then(|| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || shared.show_signs_of_life())
        });
        Human { shared, ticker }
    }

    /// Clears the live lines.
    pub(crate) fn clear_live_lines(&self) {
        if let Some(live) = &mut self.shared.lock().live {
            live.clear();
        }
    }
}

impl EventSink for Human {
    fn emit(&self, event: Event) {
        let mut state = self.shared.lock();
        let lines = state.lines.take(&event, self.shared.begin.elapsed());
        if let Some(live) = &mut state.live {
            draw(live, &event);
        }
        state.write(&lines);
    }
}

impl Drop for Human {
    fn drop(&mut self) {
        self.clear_live_lines();
        self.shared.lock().over = true;
        self.shared.ended.notify_all();
        if let Some(ticker) = self.ticker.take() {
            let _ = ticker.join();
        }
    }
}

impl Shared {
    /// A panic in another thread leaves the state usable.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes signs of life during steps without events, until the program ends.
    fn show_signs_of_life(&self) {
        let mut state = self.lock();
        while !state.over {
            state = self.ended.wait_timeout(state, TICK_INTERVAL).unwrap_or_else(PoisonError::into_inner).0;
            let line = state.lines.tick(self.begin.elapsed());
            state.write(line.as_slice());
        }
    }
}

impl State {
    fn write(&self, lines: &[String]) {
        if lines.is_empty() {
            return;
        }
        let text = lines.join("\n") + "\n";
        match &self.live {
            Some(live) => live.above(|| stderr::write(&text)),
            None => stderr::write(&text),
        }
    }
}

fn draw(live: &mut Live, event: &Event) {
    match event {
        Event::StepStarted { number, total, title } => live.start_step(*number, *total, &printable(title)),
        Event::Progress { task, message, done, total } => live.progress(&printable(task), news(message, *done, *total)),
        Event::TaskFinished { task } => live.finish_task(&printable(task)),
        Event::StepFinished { .. } => live.clear(),
        Event::Note { .. } | Event::Warning { .. } | Event::Debug { .. } => {}
    }
}
