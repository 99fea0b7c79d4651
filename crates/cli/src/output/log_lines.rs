//! Events as log lines: one per step, notes and warnings, and signs of life during a long step.
//!
//! Pure: the caller passes the time since the program began.

use std::time::Duration;

use model::Event;
use model::event::StepOutcome;

use super::duration::{show, show_running};
use super::mode::Verbosity;
use super::printable::printable;
use super::style::Style;

/// The interval of signs of life.
pub(crate) const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

/// Makes log lines from events.
pub(crate) struct LogLines {
    verbosity: Verbosity,
    style: Style,
    signs_of_life: bool,
    step: Option<RunningStep>,
}

struct RunningStep {
    number: u32,
    total: u32,
    title: String,
    started: Duration,
    last_line: Duration,
    /// The latest progress of each task, in the order in which the tasks began.
    tasks: Vec<(String, String)>,
}

impl LogLines {
    /// Lines of this verbosity. `signs_of_life` is for output without live lines.
    pub(crate) fn new(verbosity: Verbosity, style: Style, signs_of_life: bool) -> Self {
        LogLines { verbosity, style, signs_of_life, step: None }
    }

    /// The lines for an event at the time `now`.
    pub(crate) fn take(&mut self, event: &Event, now: Duration) -> Vec<String> {
        let line = match event {
            Event::StepStarted { number, total, title } => {
                self.step = Some(RunningStep {
                    number: *number,
                    total: *total,
                    title: title.clone(),
                    started: now,
                    last_line: now,
                    tasks: Vec::new(),
                });
                (self.verbosity >= Verbosity::Debug).then(|| format!("{} {title}", self.mark(*number, *total)))
            }
            Event::Progress { task, message, done, total } => {
                if let Some(step) = &mut self.step {
                    step.news(task, news(message, *done, *total));
                }
                self.tick(now)
            }
            Event::TaskFinished { task } => {
                if let Some(step) = &mut self.step {
                    step.tasks.retain(|(name, _)| name != task);
                }
                None
            }
            Event::StepFinished { number, title, elapsed, outcome } => {
                let total = self.step.take().map_or(*number, |step| step.total);
                (self.verbosity >= Verbosity::Normal).then(|| {
                    format!("{} {title} … {}", self.mark(*number, total), ending(outcome, *elapsed, self.style))
                })
            }
            Event::Note { text } => {
                (self.verbosity >= Verbosity::Normal).then(|| format!("{} {text}", self.style.strong("Note:")))
            }
            Event::Warning { text } => Some(format!("{} {text}", self.style.warning("Warning:"))),
            Event::Debug { text } => (self.verbosity >= Verbosity::Debug)
                .then(|| self.style.faint(format!("{:9.3} {}", now.as_secs_f64(), printable(text)))),
        };
        if line.is_some()
            && let Some(step) = &mut self.step
        {
            step.last_line = now;
        }
        line.into_iter().collect()
    }

    /// The sign of life, if one is due at the time `now`.
    pub(crate) fn tick(&mut self, now: Duration) -> Option<String> {
        let due = self.signs_of_life && self.verbosity >= Verbosity::Normal;
        let step = self.step.as_mut().filter(|step| due && now.saturating_sub(step.last_line) >= SIGN_OF_LIFE)?;
        step.last_line = now;
        let elapsed = show_running(now.saturating_sub(step.started));
        let tasks: Vec<String> = step.tasks.iter().map(|(task, news)| format!("{task}: {news}")).collect();
        let (number, total, title) = (step.number, step.total, step.title.clone());
        let mark = self.mark(number, total);
        Some(match tasks.as_slice() {
            [] => format!("{mark} {title} … still running after {elapsed}"),
            tasks => format!("{mark} {title} … {elapsed} so far: {}", tasks.join("; ")),
        })
    }

    fn mark(&self, number: u32, total: u32) -> String {
        self.style.faint(format!("[{number}/{total}]"))
    }
}

impl RunningStep {
    fn news(&mut self, task: &str, news: String) {
        match self.tasks.iter_mut().find(|(name, _)| name == task) {
            Some((_, old)) => *old = news,
            None => self.tasks.push((task.to_owned(), news)),
        }
    }
}

/// A message after its count, so that a truncated line still has the count: `12/340 unpacking systemd`.
pub(crate) fn news(message: &str, done: Option<u64>, total: Option<u64>) -> String {
    let message = printable(message);
    match (done, total) {
        (Some(done), Some(total)) => format!("{done}/{total} {message}"),
        (Some(done), None) => format!("{done} {message}"),
        (None, _) => message,
    }
}

fn ending(outcome: &StepOutcome, elapsed: Duration, style: Style) -> String {
    let time = show(elapsed);
    match outcome {
        StepOutcome::Done(fact) if fact.is_empty() => style.good(time),
        StepOutcome::Done(fact) => format!("{}: {fact}", style.good(time)),
        StepOutcome::Skipped(reason) => format!("{}: {reason}", style.faint("skipped")),
        StepOutcome::Failed => format!("{} after {time}", style.error("failed")),
    }
}

#[cfg(test)]
#[path = "log_lines_tests.rs"]
mod tests;
