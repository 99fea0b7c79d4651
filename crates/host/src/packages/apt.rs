//! Installing with apt-get, and what to do when the first try fails.
//!
//! A try never removes a package, nor makes one older: where the archive would have it so, that is a conflict to be
//! mended or told.

use model::{Event, EventSink, Fault, FaultClass, Result};

use super::Consent;
use super::apt_output::{AptProgress, Trouble, diagnose};
use super::apt_policy::suite_beside;
use super::family::{Family, TASK, codename};
use super::system::System;

/// So many of the last lines of apt-get are read for the cause of a failure.
const MOST_LINES: usize = 500;

/// Options of every run: the terminal codes of dpkg are off, and another apt that is at work is waited for.
const OPTIONS: [&str; 4] = ["-o", "Dpkg::Use-Pty=0", "-o", "DPkg::Lock::Timeout=300"];

/// Installs `packages`. `known` are all packages that the caller needs, also those that are installed.
///
/// The lists are fetched first where there are none, and once more where they prove stale. A conflict with what is
/// installed (a Debian machine may have a backported qemu-utils, which stands against the release's qemu-system-x86)
/// is mended by taking the packages from the suite of what stands against them, if the user agrees to that. No try makes
/// a package older: where nothing else would do, the user is told the command, at which apt asks.
///
/// # Errors
/// Of the command that failed last.
pub(super) fn install(
    system: &System,
    packages: &[String],
    known: &[String],
    consent: &dyn Consent,
    events: &dyn EventSink,
) -> Result<()> {
    system.authorize(events)?;
    let result = Attempt { system, packages, known, consent, events }.run();
    events.emit(Event::TaskFinished { task: TASK.to_owned() });
    result
}

struct Attempt<'a> {
    system: &'a System,
    packages: &'a [String],
    known: &'a [String],
    consent: &'a dyn Consent,
    events: &'a dyn EventSink,
}

impl Attempt<'_> {
    fn run(&self) -> Result<()> {
        let Attempt { system, packages, events, .. } = *self;
        let mut updated = has_no_lists(system);
        if updated {
            update(system, events)?;
        }
        let mut arguments = Family::Apt.install_arguments(packages, true);
        let mut from_suite = false;
        loop {
            let (result, lines) = run(system, with_options(arguments.clone()), events);
            let Err(fault) = result else { return Ok(()) };
            if fault.class() != FaultClass::Failed {
                return Err(fault);
            }
            match diagnose(&lines) {
                Some(Trouble::StaleLists) if !updated => {
                    updated = true;
                    update(system, events)?;
                }
                Some(Trouble::Conflict(opponents)) => {
                    let other = if from_suite { None } else { self.arguments_of_their_suite(&opponents)? };
                    let Some(other) = other else { return Err(self.in_conflict(fault, opponents, &lines)) };
                    from_suite = true;
                    arguments = other;
                }
                trouble => return Err(self.explained(fault, trouble)),
            }
        }
    }

    /// The packages from the suite that those which stand against them are from, if there is one and the user agrees:
    /// agreed was to another command. `-t` never makes a package older, unlike `PACKAGE/SUITE`.
    fn arguments_of_their_suite(&self, opponents: &[String]) -> Result<Option<Vec<String>>> {
        let policy = self.system.policy(opponents);
        let release = codename(&self.system.os_release);
        let Some((opponent, suite)) = suite_beside(&policy, opponents, release.as_deref()) else { return Ok(None) };
        let arguments = |assent| {
            let mut arguments = Family::Apt.install_arguments(self.packages, assent);
            arguments.splice(1..1, ["-t".to_owned(), suite.clone()]);
            arguments
        };
        let program = Family::Apt.install_program();
        let question = format!(
            "The packages do not fit {opponent}, which is installed from {suite}.\nInstall with `{}`?",
            self.system.by_hand(program, &arguments(false))
        );
        if !self.consent.ask(&question)? {
            return Ok(None);
        }
        self.events.warning(format!(
            "the packages do not fit {opponent}, which is installed from {suite}: taking {} from there, too",
            self.packages.join(", ")
        ));
        Ok(Some(arguments(true)))
    }

    fn in_conflict(&self, fault: Fault, opponents: Vec<String>, lines: &[String]) -> Fault {
        let together = together(self.packages, self.known, opponents.clone(), lines);
        let fault = match opponents.as_slice() {
            [] => fault,
            names => fault.because(format!("it would not fit these installed packages: {}", names.join(", "))),
        };
        let Some(release) = codename(&self.system.os_release) else { return fault };
        let chosen: Vec<String> = together.iter().map(|package| format!("{package}/{release}")).collect();
        let by_hand =
            self.system.by_hand(Family::Apt.install_program(), &Family::Apt.install_arguments(&chosen, false));
        fault.next(format!("{by_hand}    # makes packages older if need be; apt names them and asks"))
    }

    fn explained(&self, fault: Fault, trouble: Option<Trouble>) -> Fault {
        match trouble {
            Some(Trouble::Interrupted) => {
                fault.next(self.system.by_hand("dpkg", &["--configure".to_owned(), "-a".to_owned()]))
            }
            Some(Trouble::StaleLists) => fault.next(self.system.by_hand("apt-get", &["update".to_owned()])),
            _ => fault,
        }
    }
}

/// The packages that must be of one suite: the wanted ones, those that stand against them, and those the caller needs
/// too as far as the failure speaks of them.
fn together(packages: &[String], known: &[String], opponents: Vec<String>, lines: &[String]) -> Vec<String> {
    let mentioned = |package: &&String| {
        lines.iter().any(|line| line.split(|letter: char| " :=,()".contains(letter)).any(|word| word == **package))
    };
    let mut together = packages.to_vec();
    for package in opponents.iter().chain(known.iter().filter(mentioned)) {
        if !together.contains(package) {
            together.push(package.clone());
        }
    }
    together
}

fn with_options(arguments: Vec<String>) -> Vec<String> {
    OPTIONS.iter().map(|&option| option.to_owned()).chain(["--no-remove".to_owned()]).chain(arguments).collect()
}

fn update(system: &System, events: &dyn EventSink) -> Result<()> {
    events.progress(TASK, "fetching the package lists".to_owned());
    let arguments = OPTIONS.iter().map(|&option| option.to_owned()).chain(["update".to_owned()]).collect();
    run(system, arguments, events).0
}

/// Runs apt-get; the result and the last lines that it printed.
fn run(system: &System, arguments: Vec<String>, events: &dyn EventSink) -> (Result<()>, Vec<String>) {
    let mut progress = AptProgress::default();
    let mut lines = std::collections::VecDeque::new();
    let command = system.privileged(Family::Apt.install_program(), arguments).deadline(system.deadline);
    let result = command.run_streaming(events, &mut |line| {
        if let Some(event) = progress.take(line) {
            events.emit(event);
        }
        if lines.len() == MOST_LINES {
            lines.pop_front();
        }
        lines.push_back(line.to_owned());
    });
    (result, lines.into())
}

/// Fresh container images and cloud images come without lists.
fn has_no_lists(system: &System) -> bool {
    let Ok(entries) = std::fs::read_dir(&system.apt_lists) else { return true };
    !entries.flatten().any(|entry| entry.file_name().to_string_lossy().contains("_Packages"))
}
