//! A sink that records events for tests.

use std::sync::Mutex;

use model::{Event, EventSink};

/// Records every event.
#[derive(Debug, Default)]
pub struct RecordingSink(Mutex<Vec<Event>>);

impl RecordingSink {
    /// The events so far.
    pub fn events(&self) -> Vec<Event> {
        self.0.lock().map(|events| events.clone()).unwrap_or_default()
    }

    /// The notes, oldest first.
    pub fn notes(&self) -> Vec<String> {
        self.texts(|event| match event {
            Event::Note { text } => Some(text),
            _ => None,
        })
    }

    /// The warnings, oldest first.
    pub fn warnings(&self) -> Vec<String> {
        self.texts(|event| match event {
            Event::Warning { text } => Some(text),
            _ => None,
        })
    }

    /// The lines for `--debug`, oldest first.
    pub fn debug_lines(&self) -> Vec<String> {
        self.texts(|event| match event {
            Event::Debug { text } => Some(text),
            _ => None,
        })
    }

    fn texts(&self, pick: impl Fn(Event) -> Option<String>) -> Vec<String> {
        self.events().into_iter().filter_map(pick).collect()
    }
}

impl EventSink for RecordingSink {
    fn emit(&self, event: Event) {
        if let Ok(mut events) = self.0.lock() {
            events.push(event);
        }
    }
}
