//! What apt-get says (in the C locale): how far it is, and why it failed. Pure.

use model::Event;

use super::family::TASK;

/// A failure that another try can mend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The lists of packages are missing or older than the mirror.
    StaleLists,
    /// What is installed stands against what is wanted; these packages are named as the cause.
    Conflict(Vec<String>),
    /// An earlier installation was cut off.
    Interrupted,
}

/// Reads the output of a failed run.
pub(super) fn diagnose(lines: &[String]) -> Option<Trouble> {
    let says = |text: &str| lines.iter().any(|line| line.contains(text));
    if says("dpkg was interrupted") {
        return Some(Trouble::Interrupted);
    }
    // The first three are of apt 2, the fourth of the solver of apt 3.
    if says("Packages need to be removed but remove is disabled")
        || says("have unmet dependencies")
        || says("you have held broken packages")
        || says("Unable to satisfy dependencies")
    {
        return Some(Trouble::Conflict(opponents(lines)));
    }
    let is_stale = says("Unable to locate package")
        || says("has no installation candidate")
        || says("Unable to fetch some archives")
        || says("Failed to fetch");
    is_stale.then_some(Trouble::StaleLists)
}

/// The packages that would be removed or whose relations cannot be satisfied.
fn opponents(lines: &[String]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut add = |name: &str| {
        // "qemu-utils:amd64", and apt 3 has "qemu-utils:amd64=1:10.0.2".
        let name = name.split([':', '=']).next().unwrap_or(name);
        if !name.is_empty() && !found.iter().any(|known| known == name) {
            found.push(name.to_owned());
        }
    };
    let mut in_removals = false;
    for line in lines {
        if in_removals && line.starts_with("  ") {
            line.split_ascii_whitespace().for_each(&mut add);
            continue;
        }
        in_removals = line.starts_with("The following packages will be REMOVED");
        // " qemu-utils : Breaks: qemu-system-x86 (< 1:10.0) but 1:7.2 is to be installed"
        if let Some((subject, relation)) = line.split_once(" : ")
            && relation.contains(": ")
            && line.starts_with(' ')
        {
            add(subject.trim());
        }
        // "   1. qemu-utils:amd64=1:10.0.2 is selected as ..." of apt 3
        if let Some((number, rest)) = line.trim_start().split_once(". ")
            && number.parse::<u32>().is_ok()
        {
            rest.split_ascii_whitespace().next().into_iter().for_each(&mut add);
        }
    }
    found
}

/// Follows an installation.
#[derive(Debug, Default)]
pub(super) struct AptProgress {
    total: Option<u64>,
    done: u64,
}

impl AptProgress {
    /// The news in a line, if it has any.
    pub(super) fn take(&mut self, line: &str) -> Option<Event> {
        let mut words = line.split_ascii_whitespace();
        let message = match words.next()? {
            // "Get:3 http://mirror/debian bookworm/main amd64 qemu-utils amd64 1:7.2 [1234 kB]"
            word if word.starts_with("Get:") => format!("downloading {}", fetched(words.nth(3))),
            "Unpacking" => format!("unpacking {}", words.next()?),
            "Setting" => {
                let package = words.nth(1)?;
                self.done += 1;
                format!("setting up {package}")
            }
            _ => {
                self.total = total(line).or(self.total);
                return None;
            }
        };
        Some(Event::Progress {
            task: TASK.to_owned(),
            message: message.split(':').next().unwrap_or_default().to_owned(),
            done: self.total.map(|_| self.done),
            total: self.total,
        })
    }
}

/// The fourth word after "Get:N": the package, or that of an index ("Packages", or the size of an "InRelease").
fn fetched(word: Option<&str>) -> &str {
    let is_index =
        |word: &&str| word.starts_with("Packages") || word.starts_with("Translation") || word.starts_with('[');
    word.filter(|word| !is_index(word)).unwrap_or("package lists")
}

/// "0 upgraded, 3 newly installed, 1 downgraded, 0 to remove and 134 not upgraded."
fn total(line: &str) -> Option<u64> {
    let (changes, _) = line.split_once(" to remove and ")?;
    let counted = changes.split(", ").filter_map(|change| {
        let (count, what) = change.split_once(' ')?;
        matches!(what, "upgraded" | "newly installed" | "reinstalled" | "downgraded")
            .then(|| count.parse::<u64>().ok())
            .flatten()
    });
    Some(counted.sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn tells_a_removal_that_was_refused() {
        let output = lines(
            "The following additional packages will be installed:\n  qemu-system-common qemu-system-data\n\
             The following packages will be REMOVED:\n  qemu-utils other-tool\n\
             The following NEW packages will be installed:\n  qemu-system-common qemu-system-x86\n\
             0 upgraded, 3 newly installed, 1 to remove and 134 not upgraded.\n\
             E: Packages need to be removed but remove is disabled.\n",
        );
        assert_eq!(diagnose(&output), Some(Trouble::Conflict(vec!["qemu-utils".to_owned(), "other-tool".to_owned()])));
    }

    #[test]
    fn tells_broken_relations() {
        let output = lines(
            "The following packages have unmet dependencies:\n \
             qemu-utils : Breaks: qemu-system-common (< 1:10.0) but 1:7.2+dfsg-7 is to be installed\n              \
             Breaks: qemu-system-x86 (< 1:10.0) but 1:7.2+dfsg-7 is to be installed\n\
             E: Unable to correct problems, you have held broken packages.\n",
        );
        assert_eq!(diagnose(&output), Some(Trouble::Conflict(vec!["qemu-utils".to_owned()])));
    }

    #[test]
    fn tells_the_conflicts_of_the_newer_solver() {
        let output = lines(
            "E: Unable to satisfy dependencies. Reached two conflicting assignments:\n   \
             1. qemu-utils:amd64=1:10.0.2 is selected for install\n   \
             2. qemu-utils:amd64=1:10.0.2 is not selected for install because:\n",
        );
        assert_eq!(diagnose(&output), Some(Trouble::Conflict(vec!["qemu-utils".to_owned()])));
    }

    #[test]
    fn tells_other_troubles_apart() {
        for (output, expected) in [
            ("E: Unable to locate package qemu-utils", Some(Trouble::StaleLists)),
            ("E: Package 'qemu-utils' has no installation candidate", Some(Trouble::StaleLists)),
            ("E: Failed to fetch http://mirror/x.deb  404  Not Found", Some(Trouble::StaleLists)),
            (
                "E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem.",
                Some(Trouble::Interrupted),
            ),
            ("E: Sub-process /usr/bin/dpkg returned an error code (1)", None),
            ("", None),
        ] {
            assert_eq!(diagnose(&lines(output)), expected, "{output}");
        }
    }

    #[test]
    fn follows_an_installation() {
        let mut progress = AptProgress::default();
        let mut told = Vec::new();
        for line in [
            "Reading package lists...",
            "Get:1 http://mirror/debian bookworm InRelease [151 kB]",
            "0 upgraded, 2 newly installed, 1 downgraded, 0 to remove and 134 not upgraded.",
            "Get:2 http://mirror/debian bookworm/main amd64 Packages [8793 kB]",
            "Get:2 http://mirror/debian bookworm/main amd64 qemu-utils amd64 1:7.2 [1234 kB]",
            "Unpacking qemu-utils (1:7.2+dfsg-7) ...",
            "Setting up libpmem1:amd64 (1.12.1-2) ...",
            "Setting up qemu-utils (1:7.2+dfsg-7) ...",
            "",
        ] {
            if let Some(Event::Progress { message, done, total, .. }) = progress.take(line) {
                told.push(format!("{message} {done:?}/{total:?}"));
            }
        }
        insta::assert_snapshot!(told.join("\n"), @r"
        downloading package lists None/None
        downloading package lists Some(0)/Some(3)
        downloading qemu-utils Some(0)/Some(3)
        unpacking qemu-utils Some(0)/Some(3)
        setting up libpmem1 Some(1)/Some(3)
        setting up qemu-utils Some(2)/Some(3)
        ");
    }
}
