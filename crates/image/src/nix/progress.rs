//! Follows what Nix says of its activities: how much is fetched, what is built, and the last line of its log. Pure.

use std::collections::BTreeMap;

use bytesize::ByteSize;
use model::Event;

use super::log_line::{Activity, LogLine, News, name};

/// The task of what comes from caches and servers.
pub(super) const FETCH: &str = "packages";
/// The task of what is built.
pub(super) const BUILD: &str = "image";

/// How far a run of Nix is.
#[derive(Debug, Default)]
pub(super) struct Progress {
    activities: BTreeMap<u64, Running>,
    built: Count,
    copied: Count,
    /// Bytes of copies that are over.
    bytes: u64,
    expected_bytes: u64,
}

/// An activity that is under way.
#[derive(Debug)]
struct Running {
    activity: Activity,
    done: u64,
    expected: u64,
}

#[derive(Debug, Default, Clone, Copy)]
struct Count {
    done: u64,
    expected: u64,
}

impl Progress {
    /// What is told before Nix says anything: evaluating the modules takes seconds and is silent.
    pub(super) fn begin() -> Event {
        event(BUILD, "evaluating the configuration".to_owned(), Count::default())
    }

    /// Takes a line; what it changes for people.
    pub(super) fn take(&mut self, line: &LogLine) -> Option<Event> {
        match line {
            LogLine::Start { id, activity } => {
                self.activities.insert(*id, Running { activity: activity.clone(), done: 0, expected: 0 });
                self.started(activity)
            }
            LogLine::Stop { id } => {
                let running = self.activities.remove(id)?;
                if matches!(running.activity, Activity::CopyPath(_)) {
                    self.bytes += running.expected.max(running.done);
                }
                None
            }
            LogLine::News { id, news } => self.news(*id, news),
            LogLine::Message(_) | LogLine::Other => None,
        }
    }

    fn started(&self, activity: &Activity) -> Option<Event> {
        match activity {
            Activity::CopyPath(path) => Some(self.fetching(path)),
            Activity::Build(derivation) => Some(event(BUILD, format!("building {}", name(derivation)), self.built)),
            Activity::Download(address) if is_a_file_of_its_own(address) => {
                Some(event(FETCH, format!("downloading {address}"), Count::default()))
            }
            Activity::Named(text) => Some(event(FETCH, text.clone(), Count::default())),
            _ => None,
        }
    }

    fn news(&mut self, id: u64, news: &News) -> Option<Event> {
        let running = self.activities.get_mut(&id)?;
        match (news, &running.activity) {
            (News::Progress { done, expected }, Activity::Builds) => {
                self.built = Count { done: *done, expected: *expected };
                None
            }
            (News::Progress { done, expected }, Activity::Copies) => {
                self.copied = Count { done: *done, expected: *expected };
                None
            }
            (News::Progress { done, expected }, Activity::CopyPath(path)) => {
                (running.done, running.expected) = (*done, *expected);
                let path = path.clone();
                Some(self.fetching(&path))
            }
            (News::Progress { done, expected }, Activity::Download(address)) if is_a_file_of_its_own(address) => {
                let mut text = format!("downloading {address}: {}", ByteSize(*done));
                if *expected > 0 {
                    text.push_str(&format!(" of {}", ByteSize(*expected)));
                }
                Some(event(FETCH, text, Count::default()))
            }
            (News::ExpectedBytes(bytes), Activity::Realise) => {
                self.expected_bytes = *bytes;
                None
            }
            (News::Log(line), Activity::Build(derivation)) if !line.trim().is_empty() => {
                Some(event(BUILD, format!("{}: {}", name(derivation), line.trim()), self.built))
            }
            _ => None,
        }
    }

    fn fetching(&self, path: &str) -> Event {
        let is_copy = |running: &&Running| matches!(running.activity, Activity::CopyPath(_));
        let arriving: u64 = self.activities.values().filter(is_copy).map(|running| running.done).sum();
        let bytes = self.bytes + arriving;
        let mut text = format!("fetching {}", name(path));
        if self.expected_bytes > 0 {
            // Rounded up to what is known to come, so that it never says more than all.
            text.push_str(&format!(", {} of {}", ByteSize(bytes), ByteSize(self.expected_bytes.max(bytes))));
        }
        event(FETCH, text, self.copied)
    }
}

fn event(task: &str, message: String, count: Count) -> Event {
    let counted = count.expected > 0;
    Event::Progress {
        task: task.to_owned(),
        message,
        done: counted.then_some(count.done),
        total: counted.then_some(count.expected.max(count.done)),
    }
}

/// Not a part of a cache, which is told by the paths that it brings.
fn is_a_file_of_its_own(address: &str) -> bool {
    !address.ends_with(".narinfo") && !address.ends_with("/nix-cache-info") && !address.contains("/nar/")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What people see of a recorded run.
    fn told(recorded: &str) -> String {
        let mut progress = Progress::default();
        let mut lines = Vec::new();
        for line in recorded.lines() {
            let Some(Event::Progress { task, message, done, total }) = progress.take(&LogLine::parse(line)) else {
                continue;
            };
            let count = done.zip(total).map(|(done, total)| format!(" ({done}/{total})"));
            lines.push(format!("{task}: {message}{}", count.unwrap_or_default()));
        }
        lines.dedup();
        lines.join("\n")
    }

    #[test]
    fn builds_are_told_with_their_number_and_their_last_line() {
        insta::assert_snapshot!(told(include_str!("recorded/built-2.26.jsonl")), @r"
        packages: querying info about missing paths
        image: building aaa (0/3)
        image: aaa: hello a (0/3)
        image: building bbb (1/3)
        image: bbb: line one (1/3)
        image: bbb: line two (1/3)
        image: building image (2/3)
        image: image: made (2/3)
        ");
        insta::assert_snapshot!(told(include_str!("recorded/built-2.34.jsonl")), @r"
        packages: querying info about missing paths
        image: building aaa (0/3)
        image: aaa: hello a (0/3)
        image: building bbb (1/4)
        image: bbb: line one (1/3)
        image: bbb: line two (1/3)
        image: building image (2/4)
        image: image: made (2/3)
        ");
    }

    #[test]
    fn what_comes_from_a_cache_is_told_with_paths_and_bytes() {
        insta::assert_snapshot!(told(include_str!("recorded/substituted-2.26.jsonl")), @r"
        packages: querying info about missing paths
        packages: fetching image, 0 B of 896 B (0/1)
        ");
    }

    #[test]
    fn the_archive_of_nixpkgs_is_told_with_its_address() {
        insta::assert_snapshot!(told(include_str!("recorded/archive-hash-mismatch-2.34.jsonl")), @r"
        packages: querying info about missing paths
        packages: unpacking 'file:///guest/nixos/exprs.tar.xz' into the Git cache
        packages: downloading file:///guest/nixos/exprs.tar.xz
        packages: downloading file:///guest/nixos/exprs.tar.xz: 0 B
        packages: downloading file:///guest/nixos/exprs.tar.xz: 568 B of 568 B
        packages: copying '«file:///guest/nixos/exprs.tar.xz»/' to the store
        ");
    }
}
