//! Lines that change in place on a terminal: the running step with its time, and one line per task below it.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::duration::show_running;
use super::style::Style;

/// How often the time of the running step is redrawn.
const FRAME: Duration = Duration::from_millis(120);

/// The live lines.
pub(crate) struct Live {
    lines: MultiProgress,
    style: Style,
    step: Option<ProgressBar>,
    tasks: Vec<(String, ProgressBar)>,
}

impl Live {
    /// No lines yet; they are drawn to stderr.
    pub(crate) fn new(style: Style) -> Self {
        let lines = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        Live { lines, style, step: None, tasks: Vec::new() }
    }

    /// Draws a new step.
    pub(crate) fn start_step(&mut self, number: u32, total: u32, title: &str) {
        self.clear();
        let line = self.lines.add(ProgressBar::no_length());
        line.set_style(
            template("{mark} {what} … {time}")
                .with_key("mark", constant(self.style.faint(format!("[{number}/{total}]"))))
                .with_key("what", constant(title.to_owned()))
                .with_key("time", |state: &ProgressState, text: &mut dyn std::fmt::Write| {
                    let _ = text.write_str(&show_running(state.elapsed()));
                }),
        );
        line.enable_steady_tick(FRAME);
        self.step = Some(line);
    }

    /// Draws the progress of a task.
    pub(crate) fn progress(&mut self, task: &str, news: String) {
        let line = match self.tasks.iter().find(|(name, _)| name == task) {
            Some((_, line)) => line,
            None => {
                let line = self.lines.add(ProgressBar::no_length());
                line.set_style(template("      {prefix} {wide_msg}"));
                line.set_prefix(self.style.faint(format!("{task}:")));
                self.tasks.push((task.to_owned(), line));
                &self.tasks[self.tasks.len() - 1].1
            }
        };
        line.set_message(news);
    }

    /// Clears the line of a task.
    pub(crate) fn finish_task(&mut self, task: &str) {
        if let Some(index) = self.tasks.iter().position(|(name, _)| name == task) {
            let (_, line) = self.tasks.remove(index);
            line.finish_and_clear();
            self.lines.remove(&line);
        }
    }

    /// Clears all lines.
    pub(crate) fn clear(&mut self) {
        for (_, line) in self.tasks.drain(..) {
            line.finish_and_clear();
            self.lines.remove(&line);
        }
        if let Some(line) = self.step.take() {
            line.finish_and_clear();
            self.lines.remove(&line);
        }
    }

    /// Hides the live lines while `write` writes lines above them.
    pub(crate) fn above(&self, write: impl FnOnce()) {
        self.lines.suspend(write);
    }
}

/// A style from a template of this file, all of which are valid.
fn template(text: &str) -> ProgressStyle {
    ProgressStyle::with_template(text).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

/// A key of a template whose text does not change.
fn constant(text: String) -> impl Fn(&ProgressState, &mut dyn std::fmt::Write) + Clone + Send + Sync {
    move |_, line| {
        let _ = line.write_str(&text);
    }
}
