//! Events as JSON: one object per line on stderr. `at` is in seconds since the program began.

use std::time::{Duration, Instant};

use model::{Error, Event, EventSink};
use serde::Serialize;

use super::mode::{Mode, Verbosity};
use super::printable::escaped_json;
use super::stderr;
use super::typed::CommandPrefix;

/// The event sink of JSON output.
pub(crate) struct JsonLines {
    begin: Instant,
    verbosity: Verbosity,
}

impl JsonLines {
    /// A sink of this mode.
    pub(crate) fn new(mode: Mode) -> Self {
        JsonLines { begin: Instant::now(), verbosity: mode.verbosity }
    }

    /// Writes an error, the last line of a verb that failed.
    pub(crate) fn error(&self, error: &Error, prefix: &CommandPrefix) {
        self.write(&ErrorLine::of(error, prefix));
    }

    fn write(&self, what: &impl Serialize) {
        stderr::write(&escaped_json(&line(self.begin.elapsed(), what)));
    }
}

impl EventSink for JsonLines {
    fn emit(&self, event: Event) {
        if self.verbosity >= least_verbosity(&event) {
            self.write(&event);
        }
    }
}

/// The least verbosity at which this event is written.
fn least_verbosity(event: &Event) -> Verbosity {
    match event {
        Event::Warning { .. } => Verbosity::Quiet,
        Event::Debug { .. } => Verbosity::Debug,
        Event::StepStarted { .. }
        | Event::Progress { .. }
        | Event::TaskFinished { .. }
        | Event::StepFinished { .. }
        | Event::Note { .. } => Verbosity::Normal,
    }
}

#[derive(Serialize)]
struct Line<'a, T> {
    at: f64,
    #[serde(flatten)]
    what: &'a T,
}

#[derive(Serialize)]
struct ErrorLine<'a> {
    event: &'static str,
    class: &'static str,
    exit_code: u8,
    what: &'a str,
    why: &'a [String],
    next: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<LogLine<'a>>,
}

#[derive(Serialize)]
struct LogLine<'a> {
    source: &'a str,
    lines: &'a [String],
}

impl<'a> ErrorLine<'a> {
    fn of(error: &'a Error, prefix: &CommandPrefix) -> Self {
        ErrorLine {
            event: "error",
            class: error.class().name(),
            exit_code: error.class().exit_code(),
            what: error.what(),
            why: error.why(),
            next: error.next_steps().iter().map(|step| prefix.step(step)).collect(),
            log: error.log().map(|log| LogLine { source: &log.source, lines: &log.lines }),
        }
    }
}

fn line(at: Duration, what: &impl Serialize) -> String {
    let at = at.as_millis() as f64 / 1000.0;
    // Serialization cannot fail: events and errors have only texts and numbers.
    serde_json::to_string(&Line { at, what }).map(|text| text + "\n").unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::ErrorClass;
    use model::error::LogTail;
    use model::event::StepOutcome;

    fn at_1_5(what: &impl Serialize) -> String {
        line(Duration::from_micros(1_500_400), what)
    }

    #[test]
    fn every_kind_of_event() {
        let events = [
            Event::StepStarted { number: 1, total: 6, title: "Booting".to_owned() },
            Event::Progress { task: "boot".to_owned(), message: "line\nbreak".to_owned(), done: Some(1), total: None },
            Event::TaskFinished { task: "boot".to_owned() },
            Event::StepFinished {
                number: 1,
                title: "Booting".to_owned(),
                elapsed: Duration::from_millis(107_250),
                outcome: StepOutcome::Done("node k3s-vm is Ready".to_owned()),
            },
            Event::StepFinished {
                number: 1,
                title: "Booting".to_owned(),
                elapsed: Duration::ZERO,
                outcome: StepOutcome::Failed,
            },
            Event::Warning { text: "slow".to_owned() },
        ];
        insta::assert_snapshot!(events.iter().map(at_1_5).collect::<String>(), @r#"
        {"at":1.5,"event":"step-started","number":1,"total":6,"title":"Booting"}
        {"at":1.5,"event":"progress","task":"boot","message":"line\nbreak","done":1,"total":null}
        {"at":1.5,"event":"task-finished","task":"boot"}
        {"at":1.5,"event":"step-finished","number":1,"title":"Booting","elapsed":107.25,"outcome":"done","detail":"node k3s-vm is Ready"}
        {"at":1.5,"event":"step-finished","number":1,"title":"Booting","elapsed":0.0,"outcome":"failed"}
        {"at":1.5,"event":"warning","text":"slow"}
        "#);
    }

    #[test]
    fn an_error_has_all_its_parts() {
        let error = Error::new(ErrorClass::Guest, "the guest panicked")
            .because("Kernel panic")
            .next("k3s-vm logs")
            .with_log(LogTail { source: "vm.log".to_owned(), lines: vec!["x".to_owned()] });
        insta::assert_snapshot!(at_1_5(&ErrorLine::of(&error, &CommandPrefix::plain("k3s-vm"))), @r#"{"at":1.5,"event":"error","class":"guest","exit_code":5,"what":"the guest panicked","why":["Kernel panic"],"next":["k3s-vm logs"],"log":{"source":"vm.log","lines":["x"]}}"#);
    }

    #[test]
    fn verbosity_selects_events() {
        let debug = Event::Debug { text: String::new() };
        let note = Event::Note { text: String::new() };
        let warning = Event::Warning { text: String::new() };
        for (verbosity, written) in [
            (Verbosity::Quiet, [false, false, true]),
            (Verbosity::Normal, [false, true, true]),
            (Verbosity::Debug, [true, true, true]),
        ] {
            assert_eq!(
                [&debug, &note, &warning].map(|event| verbosity >= least_verbosity(event)),
                written,
                "{verbosity:?}"
            );
        }
    }
}
