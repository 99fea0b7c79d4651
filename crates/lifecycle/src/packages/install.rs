//! Installing with the system's package manager, and what to do when apt-get refuses at first.
//!
//! apt-get removes no package ([`NO_REMOVE`]) and downgrades none (it does so only with an option that is not used here).
//! An installation that needs either is a conflict, which is reported.

use model::requirement::Consent;
use model::{Error, ErrorClass, Event, EventSink, Result};

use super::family::{Family, codename};
use super::system::System;

/// The task of the progress events.
const TASK: &str = "packages";

/// Options of every run: no terminal codes of dpkg, and wait for another apt that runs.
const OPTIONS: [&str; 4] = ["-o", "Dpkg::Use-Pty=0", "-o", "DPkg::Lock::Timeout=300"];

/// Makes it an error to need a removal.
const NO_REMOVE: &str = "--no-remove";

/// Installs `packages`.
///
/// apt's lists are fetched first where there are none, and again where they prove stale. Packages that conflict with an
/// installed backport are taken from the backports, too, if the user agrees to that other command.
///
/// # Errors
/// Those of the last command that failed.
pub(super) fn install(
    system: &System,
    family: Family,
    packages: &[String],
    consent: &dyn Consent,
    events: &dyn EventSink,
) -> Result<()> {
    system.authorize(events)?;
    let result = match family {
        Family::Apt => with_apt(system, packages, consent, events),
        Family::Dnf | Family::Pacman => run(system, family, family.install_arguments(packages, true), events),
    };
    events.emit(Event::TaskFinished { task: TASK.to_owned() });
    result
}

fn with_apt(system: &System, packages: &[String], consent: &dyn Consent, events: &dyn EventSink) -> Result<()> {
    let apt = |arguments: Vec<String>| {
        let arguments = OPTIONS.iter().map(|&option| option.to_owned()).chain(arguments).collect();
        run(system, Family::Apt, arguments, events)
    };
    let update = || apt(vec!["update".to_owned()]);
    // Before the verb: `apt-get update` does not know it.
    let apt_install = |arguments: Vec<String>| apt(std::iter::once(NO_REMOVE.to_owned()).chain(arguments).collect());
    let install = || apt_install(Family::Apt.install_arguments(packages, true));
    let had_lists = has_lists(system);
    if !had_lists {
        update()?;
    }
    let mut result = install();
    if had_lists && cause(&result) == Some(Cause::StaleLists) {
        update()?;
        result = install();
    }
    if cause(&result) == Some(Cause::Conflict)
        && let Some(suite) = backports(system)
    {
        let arguments = |assent| {
            let mut arguments = Family::Apt.install_arguments(packages, assent);
            arguments.splice(1..1, ["-t".to_owned(), suite.clone()]);
            arguments
        };
        let by_hand = system.by_hand("apt-get", &arguments(false));
        if consent.ask(&format!("The packages do not fit what is installed.\nInstall with `{by_hand}`?"))? {
            events.warning(format!("taking {} from {suite}", packages.join(", ")));
            result = apt_install(arguments(true));
        }
    }
    let cause = cause(&result);
    result.map_err(|error| explained(system, packages, error, cause))
}

/// Runs the package manager; its lines are progress events.
fn run(system: &System, family: Family, arguments: Vec<String>, events: &dyn EventSink) -> Result<()> {
    let command = system.privileged(family.install_program(), arguments).deadline(system.deadline);
    command.run_streaming(events, &mut |line| {
        if !line.trim().is_empty() {
            events.progress(TASK, line.trim().to_owned());
        }
    })
}

/// Why apt-get failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// An earlier installation was cut off.
    Interrupted,
    /// The disk is full.
    NoSpace,
    /// The packages conflict with what is installed.
    Conflict,
    /// The lists of packages are missing or older than the mirror.
    StaleLists,
}

/// What apt-get prints for each cause (in the C locale).
const CAUSES: [(Cause, &[&str]); 4] = [
    (Cause::Interrupted, &["dpkg was interrupted"]),
    (Cause::NoSpace, &["No space left on device", "You don't have enough free space"]),
    (
        Cause::Conflict,
        // The first three are of apt 2, the fourth of the solver of apt 3.
        &[
            "Packages need to be removed but remove is disabled",
            "have unmet dependencies",
            "you have held broken packages",
            "Unable to satisfy dependencies",
        ],
    ),
    (
        Cause::StaleLists,
        &[
            "Unable to locate package",
            "has no installation candidate",
            "Unable to fetch some archives",
            "Failed to fetch",
        ],
    ),
];

/// The cause of a failed run, by its last lines.
fn cause(result: &Result<()>) -> Option<Cause> {
    let error = result.as_ref().err().filter(|error| error.class() == ErrorClass::Failed)?;
    let lines = error.log().map_or(&[][..], |log| &log.lines);
    let says = |text: &&str| error.why().iter().chain(lines).any(|line| line.contains(text));
    CAUSES.iter().find(|(_, texts)| texts.iter().any(says)).map(|(cause, _)| *cause)
}

/// The suite of the release's backports, if apt knows it.
fn backports(system: &System) -> Option<String> {
    let suite = format!("{}-backports", codename(&system.os_release)?);
    system.policy().contains(&format!(" {suite}/")).then_some(suite)
}

fn explained(system: &System, packages: &[String], error: Error, cause: Option<Cause>) -> Error {
    let apt = |arguments: &[String]| system.by_hand("apt-get", arguments);
    match cause {
        Some(Cause::Interrupted) => error.next(system.by_hand("dpkg", &["--configure".to_owned(), "-a".to_owned()])),
        Some(Cause::NoSpace) => error.next(apt(&["clean".to_owned()])),
        Some(Cause::Conflict) => {
            let by_hand = apt(&Family::Apt.install_arguments(packages, false));
            let error = error.because("it would not fit what is installed");
            error.next(format!("{by_hand}    # apt names what it would remove or make older, and asks"))
        }
        Some(Cause::StaleLists) => error.next(apt(&["update".to_owned()])),
        None => error,
    }
}

/// Whether apt has lists of packages. Fresh container images and cloud images have none.
fn has_lists(system: &System) -> bool {
    let entries = std::fs::read_dir(&system.apt_lists).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| entry.file_name().to_string_lossy().contains("_Packages"))
}

#[cfg(test)]
mod tests {
    use model::error::LogTail;

    use super::*;

    #[test]
    fn the_output_of_apt_shows_the_cause() {
        for (output, expected) in [
            ("E: Packages need to be removed but remove is disabled.", Some(Cause::Conflict)),
            (
                "The following packages have unmet dependencies:\n qemu-utils : Breaks: qemu-system-x86 (< 1:10.0)\n\
                 E: Unable to correct problems, you have held broken packages.",
                Some(Cause::Conflict),
            ),
            (
                "E: Unable to satisfy dependencies. Reached two conflicting assignments:\n   \
                 1. qemu-utils:amd64=1:10.0.2 is selected for install",
                Some(Cause::Conflict),
            ),
            ("E: Unable to locate package qemu-utils", Some(Cause::StaleLists)),
            ("E: Package 'qemu-utils' has no installation candidate", Some(Cause::StaleLists)),
            ("E: Failed to fetch http://mirror/x.deb  404  Not Found", Some(Cause::StaleLists)),
            ("E: You don't have enough free space in /var/cache/apt/archives/.", Some(Cause::NoSpace)),
            ("E: dpkg was interrupted, you must manually run 'dpkg --configure -a'", Some(Cause::Interrupted)),
            ("E: Sub-process /usr/bin/dpkg returned an error code (1)", None),
            ("", None),
        ] {
            let lines: Vec<String> = output.lines().map(str::to_owned).collect();
            let error = Error::new(ErrorClass::Failed, "`apt-get` failed with exit code 100");
            let error = error.with_log(LogTail { source: "output of `apt-get`".to_owned(), lines });
            assert_eq!(cause(&Err(error)), expected, "{output}");
        }
    }
}
