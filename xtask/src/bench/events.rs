//! When each step of a verb began and ended, from its `--events json`.

use anyhow::{Context, Result};
use serde_json::Value;

/// The steps of a verb, in their order.
#[derive(Debug, PartialEq)]
pub(crate) struct Steps(Vec<Step>);

/// One step; times in seconds after the program began.
#[derive(Debug, PartialEq)]
struct Step {
    title: String,
    began: f64,
    ended: Option<f64>,
}

impl Steps {
    /// Reads the lines of stderr, with times by the program's own clock. Lines of other programs are ignored.
    pub(crate) fn parse(stderr: &str) -> Self {
        Self::read(stderr.lines().map(|line| (None, line)))
    }

    /// Reads lines with the times of their arrival, in seconds after the process was started. This includes what the
    /// program does before its own clock begins.
    pub(crate) fn arrived(lines: &[(f64, String)]) -> Self {
        Self::read(lines.iter().map(|(at, line)| (Some(*at), line.as_str())))
    }

    fn read<'a>(lines: impl Iterator<Item = (Option<f64>, &'a str)>) -> Self {
        let mut steps: Vec<Step> = Vec::new();
        for (arrival, line) in lines {
            let Ok(event) = serde_json::from_str::<Value>(line) else { continue };
            let Some(title) = event["title"].as_str() else { continue };
            let Some(at) = arrival.or(event["at"].as_f64()) else { continue };
            match event["event"].as_str() {
                Some("step-started") => steps.push(Step { title: title.to_owned(), began: at, ended: None }),
                Some("step-finished") => {
                    if let Some(step) = steps.iter_mut().rev().find(|step| step.title == title) {
                        step.ended = Some(at);
                    }
                }
                _ => {}
            }
        }
        Steps(steps)
    }

    /// Seconds from the begin of one step to the end of another.
    pub(crate) fn between(&self, first: &str, last: &str) -> Result<f64> {
        Ok(self.end(self.find(last)?)? - self.find(first)?.began)
    }

    /// Seconds from the begin of a step to the end of the verb's last one.
    pub(crate) fn since_begin_of(&self, first: &str) -> Result<f64> {
        let last = self.0.last().context("the verb has no steps")?;
        Ok(self.end(last)? - self.find(first)?.began)
    }

    /// Seconds from the begin of the process to the end of a step.
    pub(crate) fn end_of(&self, title: &str) -> Result<f64> {
        self.end(self.find(title)?)
    }

    fn find(&self, title: &str) -> Result<&Step> {
        self.0.iter().find(|step| step.title == title).with_context(|| format!("no step {title:?} in {:?}", self.0))
    }

    fn end(&self, step: &Step) -> Result<f64> {
        step.ended.with_context(|| format!("the step {:?} did not end", step.title))
    }
}

/// Whether a line is the event that this step ended.
pub(crate) fn is_end_of(title: &str, line: &str) -> bool {
    let Ok(event) = serde_json::from_str::<Value>(line) else { return false };
    event["event"] == "step-finished" && event["title"] == title
}

#[cfg(test)]
mod tests {
    use super::*;

    const STDERR: &str = r#"
{"at":0.1,"event":"step-started","number":1,"total":2,"title":"Starting the VM"}
some talk
{"at":1.5,"event":"step-finished","number":1,"title":"Starting the VM","elapsed":1.4,"outcome":"done","detail":""}
{"at":1.6,"event":"step-started","number":2,"total":2,"title":"Booting"}
{"at":9.1,"event":"note","text":"x"}
{"at":10.1,"event":"step-finished","number":2,"title":"Booting","elapsed":8.5,"outcome":"done","detail":""}
"#;

    #[test]
    fn a_span_may_cover_several_steps() {
        let steps = Steps::parse(STDERR);
        assert_eq!(steps.between("Starting the VM", "Booting").unwrap(), 10.0);
        assert_eq!(steps.between("Booting", "Booting").unwrap(), 8.5);
        assert_eq!(steps.since_begin_of("Starting the VM").unwrap(), 10.0);
    }

    #[test]
    fn what_is_missing_is_an_error_not_a_zero() {
        let steps = Steps::parse(STDERR);
        assert!(steps.between("Booting", "Applying").is_err());
        assert!(
            Steps::parse(&STDERR.replace("10.1,\"event\":\"step-finished\"", "10.1,\"event\":\"x\""))
                .since_begin_of("Booting")
                .is_err()
        );
    }

    #[test]
    fn the_time_of_arrival_replaces_the_programs_clock() {
        let lines: Vec<(f64, String)> =
            STDERR.lines().enumerate().map(|(number, line)| (number as f64 * 100.0, line.to_owned())).collect();
        let steps = Steps::arrived(&lines);
        assert_eq!(steps.end_of("Booting").unwrap(), 600.0);
        assert!(steps.end_of("Applying").is_err());
    }

    #[test]
    fn the_line_that_ends_a_step_is_found() {
        let ends: Vec<bool> = STDERR.lines().map(|line| is_end_of("Booting", line)).collect();
        assert_eq!(ends, [false, false, false, false, false, false, true]);
    }
}
