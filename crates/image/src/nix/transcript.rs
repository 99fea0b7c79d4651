//! What is kept of a run of Nix for its end: errors, caches out of reach, the plan, and the last lines of each log. Pure.

use std::collections::{BTreeMap, VecDeque};

use super::log_line::{Activity, LogLine, News};

/// How many lines of a log go with a fault.
const TAIL: usize = 20;
/// So many derivations may be built without a cache. A change of the user's configuration takes some tens (files of
/// /etc, units, the initial RAM disk, the image); a system without any cache takes thousands.
const LOCAL_BUILDS: u64 = 100;

/// What a run has said so far.
#[derive(Debug, Default)]
pub(super) struct Transcript {
    /// The errors, first to last.
    errors: Vec<Error>,
    /// Caches that did not answer, each with the reason.
    unreachable: Vec<String>,
    /// How many derivations will be built, how many paths fetched, as Nix announced it.
    plan: Plan,
    /// Derivations that are being built, by the activity.
    builds: BTreeMap<u64, String>,
    /// The ends of logs by derivation, the newest last.
    logs: VecDeque<(String, VecDeque<String>)>,
    /// The last messages.
    messages: VecDeque<String>,
}

/// An error as Nix told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Error {
    /// What is wrong, a line or several, without the trace that led there.
    pub(super) sentence: String,
    /// All of it but for excerpts of sources, which may have any word.
    pub(super) whole: String,
}

impl Error {
    /// Reads the text behind a first `error:`. The trace stands before the last one; 2.8 has it at the end.
    fn read(text: &str) -> Self {
        let lines: Vec<&str> =
            text.lines().map(str::trim).filter(|line| !line.is_empty() && !is_excerpt(line)).collect();
        let begin = lines.iter().rposition(|line| line.starts_with("error:")).unwrap_or(0);
        let told: Vec<&str> = lines[begin..].iter().take_while(|line| !line.starts_with('…')).copied().collect();
        let sentence = told.join("\n").trim_start_matches("error:").trim().to_owned();
        Error { sentence, whole: lines.join("\n") }
    }
}

/// `12|  text` and `  |  ^`, as Nix shows sources.
fn is_excerpt(line: &str) -> bool {
    line.trim_start_matches(|letter: char| letter.is_ascii_digit()).starts_with('|')
}

/// What Nix announced to do.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plan {
    /// Derivations to build.
    pub(super) builds: u64,
    /// Paths to fetch.
    pub(super) fetches: u64,
}

impl Transcript {
    /// Takes a line.
    pub(super) fn take(&mut self, line: &LogLine) {
        match line {
            LogLine::Start { id, activity: Activity::Build(derivation) } => {
                self.builds.insert(*id, derivation.clone());
            }
            LogLine::Stop { id } => {
                self.builds.remove(id);
            }
            LogLine::News { id, news: News::Log(text) } => {
                if let Some(derivation) = self.builds.get(id).cloned() {
                    self.log(derivation, text);
                }
            }
            LogLine::Message(text) => self.message(text),
            _ => {}
        }
    }

    /// The errors, first to last.
    pub(super) fn errors(&self) -> &[Error] {
        &self.errors
    }

    /// The last messages, oldest first.
    pub(super) fn messages(&self) -> Vec<String> {
        self.messages.iter().cloned().collect()
    }

    /// The end of a derivation's log, oldest line first.
    pub(super) fn log_of(&self, derivation: &str) -> Vec<String> {
        let log = self.logs.iter().find(|(of, _)| of == derivation);
        log.map(|(_, lines)| lines.iter().cloned().collect()).unwrap_or_default()
    }

    /// The caches that did not answer.
    pub(super) fn unreachable(&self) -> &[String] {
        &self.unreachable
    }

    /// The plan, if following it means to compile most of a system, since nothing brings it. `offline` says that
    /// nothing may.
    pub(super) fn world(&self, offline: bool) -> Option<Plan> {
        let without_cache = offline || !self.unreachable.is_empty();
        let compiles = self.plan.builds > LOCAL_BUILDS && self.plan.fetches < self.plan.builds;
        (without_cache && compiles).then_some(self.plan)
    }

    fn log(&mut self, derivation: String, text: &str) {
        let place = self.logs.iter().position(|(of, _)| *of == derivation);
        let (_, mut lines) = place.and_then(|place| self.logs.remove(place)).unwrap_or_default();
        keep(&mut lines, text.trim_end().to_owned());
        if self.logs.len() == TAIL {
            self.logs.pop_front();
        }
        self.logs.push_back((derivation, lines));
    }

    fn message(&mut self, text: &str) {
        if text.trim().is_empty() {
            return;
        }
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            keep(&mut self.messages, line.to_owned());
        }
        if let Some(error) = text.strip_prefix("error:") {
            self.errors.push(Error::read(error));
        } else if let Some(failure) = text.strip_prefix("warning:").and_then(cache_out_of_reach) {
            self.unreachable.push(failure);
        } else if let Some(plan) = announced(text) {
            self.plan.builds = self.plan.builds.max(plan.builds);
            self.plan.fetches = self.plan.fetches.max(plan.fetches);
        }
    }
}

fn keep(lines: &mut VecDeque<String>, line: String) {
    if lines.len() == TAIL {
        lines.pop_front();
    }
    lines.push_back(line);
}

/// `unable to download 'CACHE/nix-cache-info': WHY`, when Nix has given it up.
fn cache_out_of_reach(warning: &str) -> Option<String> {
    let (address, why) = warning.split_once("unable to download '")?.1.split_once("': ")?;
    let cache = address.strip_suffix("/nix-cache-info")?;
    (!why.contains("; retrying in ")).then(|| format!("{cache}: {why}"))
}

/// `these 3 derivations will be built:`, `this path will be fetched (…):`.
fn announced(text: &str) -> Option<Plan> {
    let mut words = text.split_whitespace();
    let count = match (words.next()?, words.next()?) {
        ("this", "derivation" | "path") => 1,
        ("these", count) => count.parse().ok()?,
        _ => return None,
    };
    if text.contains(" will be built") {
        return Some(Plan { builds: count, fetches: 0 });
    }
    text.contains(" will be fetched").then_some(Plan { builds: 0, fetches: count })
}

#[cfg(test)]
pub(super) fn of(recorded: &str) -> Transcript {
    let mut transcript = Transcript::default();
    recorded.lines().for_each(|line| transcript.take(&LogLine::parse(line)));
    transcript
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_is_out_of_reach_when_nix_has_given_it_up() {
        for recorded in [
            include_str!("recorded/cache-unreachable-2.26.jsonl"),
            include_str!("recorded/cache-unreachable-2.34.jsonl"),
        ] {
            let lines: Vec<&str> = recorded.lines().collect();
            let given_up = lines.iter().position(|line| line.contains("raw_msg")).unwrap();
            assert!(of(&lines[..given_up].join("\n")).unreachable().is_empty());
            let all = of(recorded);
            assert_eq!(all.unreachable().len(), 1);
            assert!(all.unreachable()[0].starts_with("https://cache.nixos.org: Could not connect to server (7)"));
            assert_eq!(all.plan, Plan { builds: 1, fetches: 0 });
            assert_eq!(all.world(false), None, "one derivation is built without a cache");
        }
        // As the daemon passes it on: another level, no raw_msg.
        let by_daemon = r#"@nix {"action":"msg","level":0,"msg":"warning: unable to download 'https://cache.nixos.org/nix-cache-info': Could not resolve hostname (6)"}"#;
        assert_eq!(of(by_daemon).unreachable(), ["https://cache.nixos.org: Could not resolve hostname (6)"]);
        assert!(of(by_daemon).errors().is_empty());
    }

    #[test]
    fn the_plan_decides_whether_the_world_is_compiled() {
        let unreachable = "warning: unable to download 'https://c/nix-cache-info': no";
        for (said, offline, expected) in [
            (format!("{unreachable}\nthese 2113 derivations will be built:"), false, true),
            (format!("{unreachable}\nthese 100 derivations will be built:"), false, false),
            (format!("{unreachable}\nthis derivation will be built:"), false, false),
            // Another cache has the most of it.
            (
                format!(
                    "{unreachable}\nthese 180 derivations will be built:\n\
                     these 700 paths will be fetched (900.00 MiB download, 3000.00 MiB unpacked):"
                ),
                false,
                false,
            ),
            ("these 2113 derivations will be built:".to_owned(), false, false),
            ("these 2113 derivations will be built:".to_owned(), true, true),
        ] {
            assert_eq!(of(&said).world(offline).is_some(), expected, "{said}");
        }
    }

    #[test]
    fn an_error_is_told_without_its_trace_and_without_sources() {
        let told = |recorded: &str| of(recorded).errors().last().unwrap().sentence.clone();
        for (recorded, expected) in [
            (include_str!("recorded/no-nixpkgs-2.8.jsonl"), 2),
            (include_str!("recorded/no-nixpkgs-2.26.jsonl"), 1),
            (include_str!("recorded/no-nixpkgs-2.34.jsonl"), 1),
        ] {
            let told = told(recorded);
            assert!(told.starts_with("file 'nixpkgs/nixos' was not found in the Nix search path"), "{told}");
            assert_eq!(told.lines().count(), expected, "{told}");
        }
        insta::assert_snapshot!(told(include_str!("recorded/syntax-error-2.26.jsonl")), @r"
        syntax error, unexpected ';'
        at /project/.k3s-vm/vm/configuration.nix:2:7:
        ");
        let whole = of(include_str!("recorded/syntax-error-2.26.jsonl")).errors()[0].whole.clone();
        assert!(!whole.contains("no K3s 1.30"), "a word of the sources: {whole}");
    }

    #[test]
    fn the_ends_of_logs_are_kept_by_derivation() {
        for (recorded, derivation) in [
            (
                include_str!("recorded/builder-failed-2.26.jsonl"),
                "/nix/store/fb4513wdyaifsshwn16n98yc2iiyh04c-fail.drv",
            ),
            (
                include_str!("recorded/builder-failed-2.34.jsonl"),
                "/nix/store/1w34bzp2xn5rf3f7pa6f3ac745bkw98v-fail.drv",
            ),
        ] {
            let lines = of(recorded).log_of(derivation);
            assert_eq!((lines.len(), lines[0].as_str(), lines[19].as_str()), (20, "l 10", "l 29"));
        }
        assert_eq!(of("").log_of("/nix/store/x.drv"), [""; 0]);
    }
}
