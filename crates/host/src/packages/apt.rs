//! Installing with apt-get, and what to do when the first try fails.
//!
//! A try never removes a package: where the archive would have it so, that is a conflict to be mended or told.

use model::{Event, EventSink, Fault, FaultClass, Result};

use super::apt_output::{AptProgress, Trouble, diagnose};
use super::family::{DEADLINE, Family, TASK, codename};
use super::system::System;

/// So many of the last lines of apt-get are read for the cause of a failure.
const MOST_LINES: usize = 500;

/// Options of every run: the terminal codes of dpkg are off, and another apt that is at work is waited for.
const OPTIONS: [&str; 4] = ["-o", "Dpkg::Use-Pty=0", "-o", "DPkg::Lock::Timeout=300"];

/// Installs `packages`. `known` are all packages that the caller needs, also those that are installed.
///
/// The lists are fetched first where there are none, and once more where they prove stale. A conflict with what is
/// installed (a Debian machine may have a backported qemu-utils, which stands against the release's qemu-system-x86)
/// is mended by taking the packages and those that stand against them from the release itself, which may make
/// them older. `apt-get -t SUITE` would not do: it never makes a package older; `PACKAGE/SUITE` does.
///
/// # Errors
/// Of the command that failed last.
pub(super) fn install(system: &System, packages: &[String], known: &[String], events: &dyn EventSink) -> Result<()> {
    system.authorize(events)?;
    let result = try_to_install(system, packages, known, events);
    events.emit(Event::TaskFinished { task: TASK.to_owned() });
    result
}

fn try_to_install(system: &System, packages: &[String], known: &[String], events: &dyn EventSink) -> Result<()> {
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
        match (diagnose(&lines), codename(&system.os_release)) {
            (Some(Trouble::StaleLists), _) if !updated => {
                updated = true;
                update(system, events)?;
            }
            (Some(Trouble::Conflict(opponents)), Some(suite)) if !from_suite => {
                from_suite = true;
                let together = together(packages, known, opponents, &lines);
                events.warning(format!(
                    "the packages do not fit what is installed: taking {} from {suite}, older than now if need be",
                    together.join(", ")
                ));
                let chosen: Vec<String> = together.iter().map(|package| format!("{package}/{suite}")).collect();
                arguments = Family::Apt.install_arguments(&chosen, true);
                arguments.insert(1, "--allow-downgrades".to_owned());
            }
            (trouble, _) => return Err(explained(fault, trouble, system)),
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

fn explained(fault: Fault, trouble: Option<Trouble>, system: &System) -> Fault {
    match trouble {
        Some(Trouble::Interrupted) => fault.next(system.by_hand("dpkg", &["--configure".to_owned(), "-a".to_owned()])),
        Some(Trouble::Conflict(opponents)) if !opponents.is_empty() => {
            fault.because(format!("it would not fit these installed packages: {}", opponents.join(", ")))
        }
        Some(Trouble::StaleLists) => fault.next(system.by_hand("apt-get", &["update".to_owned()])),
        _ => fault,
    }
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
    let command = system.privileged(Family::Apt.install_program(), arguments).deadline(DEADLINE);
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
