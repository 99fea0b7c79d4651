//! The `--events json` of one verb: when each phase began and ended.

use anyhow::{Context, Result};
use serde_json::Value;

/// The phases of a verb, in their order.
#[derive(Debug, PartialEq)]
pub(crate) struct Phases(Vec<Phase>);

/// One phase; times in seconds after the program began.
#[derive(Debug, PartialEq)]
struct Phase {
    title: String,
    began: f64,
    ended: Option<f64>,
}

impl Phases {
    /// Reads the lines of stderr by the program's own clock; what is no event (the talk of other programs) is passed
    /// over.
    pub(crate) fn parse(stderr: &str) -> Self {
        Self::read(stderr.lines().map(|line| (None, line)))
    }

    /// Reads lines of which it is known when they arrived, in seconds after the process was started. This counts what
    /// the program does before its own clock begins, too.
    pub(crate) fn arrived(lines: &[(f64, String)]) -> Self {
        Self::read(lines.iter().map(|(at, line)| (Some(*at), line.as_str())))
    }

    fn read<'a>(lines: impl Iterator<Item = (Option<f64>, &'a str)>) -> Self {
        let mut phases: Vec<Phase> = Vec::new();
        for (arrival, line) in lines {
            let Ok(event) = serde_json::from_str::<Value>(line) else { continue };
            let Some(title) = event["title"].as_str() else { continue };
            let Some(at) = arrival.or(event["at"].as_f64()) else { continue };
            match event["event"].as_str() {
                Some("phase-started") => phases.push(Phase { title: title.to_owned(), began: at, ended: None }),
                Some("phase-finished") => {
                    if let Some(phase) = phases.iter_mut().rev().find(|phase| phase.title == title) {
                        phase.ended = Some(at);
                    }
                }
                _ => {}
            }
        }
        Phases(phases)
    }

    /// Seconds from the begin of one phase to the end of another.
    pub(crate) fn between(&self, first: &str, last: &str) -> Result<f64> {
        Ok(self.end(self.find(last)?)? - self.find(first)?.began)
    }

    /// Seconds from the begin of a phase to the end of the verb's last one.
    pub(crate) fn since_begin_of(&self, first: &str) -> Result<f64> {
        let last = self.0.last().context("the verb has no phases")?;
        Ok(self.end(last)? - self.find(first)?.began)
    }

    /// Seconds from the begin of the process to the end of a phase.
    pub(crate) fn end_of(&self, title: &str) -> Result<f64> {
        self.end(self.find(title)?)
    }

    fn find(&self, title: &str) -> Result<&Phase> {
        self.0.iter().find(|phase| phase.title == title).with_context(|| format!("no phase {title:?} in {:?}", self.0))
    }

    fn end(&self, phase: &Phase) -> Result<f64> {
        phase.ended.with_context(|| format!("the phase {:?} did not end", phase.title))
    }
}

/// Whether a line tells that this phase ended.
pub(crate) fn is_end_of(title: &str, line: &str) -> bool {
    let Ok(event) = serde_json::from_str::<Value>(line) else { return false };
    event["event"] == "phase-finished" && event["title"] == title
}

#[cfg(test)]
mod tests {
    use super::*;

    const STDERR: &str = r#"
{"at":0.1,"event":"phase-started","number":1,"total":2,"title":"Starting the VM"}
some talk
{"at":1.5,"event":"phase-finished","number":1,"title":"Starting the VM","elapsed":1.4,"outcome":"done","detail":""}
{"at":1.6,"event":"phase-started","number":2,"total":2,"title":"Booting"}
{"at":9.1,"event":"note","text":"x"}
{"at":10.1,"event":"phase-finished","number":2,"title":"Booting","elapsed":8.5,"outcome":"done","detail":""}
"#;

    #[test]
    fn spans_reach_over_phases() {
        let phases = Phases::parse(STDERR);
        assert_eq!(phases.between("Starting the VM", "Booting").unwrap(), 10.0);
        assert_eq!(phases.between("Booting", "Booting").unwrap(), 8.5);
        assert_eq!(phases.since_begin_of("Starting the VM").unwrap(), 10.0);
    }

    #[test]
    fn what_is_missing_is_an_error_not_a_zero() {
        let phases = Phases::parse(STDERR);
        assert!(phases.between("Booting", "Applying").is_err());
        assert!(
            Phases::parse(&STDERR.replace("10.1,\"event\":\"phase-finished\"", "10.1,\"event\":\"x\""))
                .since_begin_of("Booting")
                .is_err()
        );
    }

    #[test]
    fn the_time_of_arrival_counts_before_the_programs_clock() {
        let lines: Vec<(f64, String)> =
            STDERR.lines().enumerate().map(|(number, line)| (number as f64 * 100.0, line.to_owned())).collect();
        let phases = Phases::arrived(&lines);
        assert_eq!(phases.end_of("Booting").unwrap(), 600.0);
        assert!(phases.end_of("Applying").is_err());
    }

    #[test]
    fn the_end_of_a_phase_is_told_by_its_line() {
        let ends: Vec<bool> = STDERR.lines().map(|line| is_end_of("Booting", line)).collect();
        assert_eq!(ends, [false, false, false, false, false, false, true]);
    }
}
