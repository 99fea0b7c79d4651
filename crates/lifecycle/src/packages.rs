//! Host packages that a verb needs: finding what is missing, and installing it with the user's consent.
//!
//! No package is removed or downgraded, and nothing is done before the user agreed.

mod family;
mod install;
mod system;

use std::ffi::OsStr;
use std::time::Duration;

use model::requirement::{Consent, Requirement};
use model::{Error, ErrorClass, EventSink, Result};

use family::Family;
use system::System;

/// Makes sure that the program of every requirement exists. What is missing is installed with the system's package manager
/// (through sudo where not root) after consent, within `deadline`.
///
/// # Errors
/// A Host error with the packages and the command to type, where something is missing and was not installed.
pub fn ensure(
    requirements: &[Requirement],
    deadline: Duration,
    consent: &dyn Consent,
    events: &dyn EventSink,
) -> Result<()> {
    ensure_on(&System::of_this_host(deadline)?, requirements, consent, events)
}

fn ensure_on(
    system: &System,
    requirements: &[Requirement],
    consent: &dyn Consent,
    events: &dyn EventSink,
) -> Result<()> {
    let missing = missing(system, requirements);
    if missing.is_empty() {
        return Ok(());
    }
    let Some(family) = Family::of(&system.os_release) else { return Err(unknown_system(&missing)) };
    let packages = packages_of(family, &missing);
    let by_hand = system.by_hand(family.install_program(), &family.install_arguments(&packages, false));
    if !consent.ask(&question(&missing, family, &by_hand))? {
        return Err(lacking(&missing, family).next(by_hand).next(AGREE));
    }
    install::install(system, family, &packages, consent, events)
        .map_err(|error| not_installed(&packages, &error, &by_hand))?;
    let missing = self::missing(system, requirements);
    if missing.is_empty() {
        events.note(format!("installed {}", packages.join(", ")));
        return Ok(());
    }
    Err(lacking(&missing, family).because("the packages are installed, yet the programs are not in PATH"))
}

/// The flag to agree in advance, which every verb has.
const AGREE: &str = "or run the command again with --yes, which installs them";

/// The requirements whose program is missing, each program once.
fn missing<'a>(system: &System, requirements: &'a [Requirement]) -> Vec<&'a Requirement> {
    let mut missing: Vec<&Requirement> = Vec::new();
    for requirement in requirements {
        if !missing.iter().any(|known| known.program == requirement.program)
            && system.find(OsStr::new(requirement.program)).is_none()
        {
            missing.push(requirement);
        }
    }
    missing
}

/// The packages, each once, in the order of the requirements.
fn packages_of(family: Family, requirements: &[&Requirement]) -> Vec<String> {
    let mut packages: Vec<String> = Vec::new();
    for requirement in requirements {
        let package = family.package(requirement);
        if !packages.iter().any(|known| known == package) {
            packages.push(package.to_owned());
        }
    }
    packages
}

fn question(missing: &[&Requirement], family: Family, by_hand: &str) -> String {
    let mut lines = vec!["This machine lacks:".to_owned()];
    lines.extend(missing.iter().map(|requirement| format!("  {}", describe(requirement, family))));
    lines.push(format!("Install with `{by_hand}`?"));
    lines.join("\n")
}

fn describe(requirement: &Requirement, family: Family) -> String {
    format!("{} (package {}), which {}", requirement.program, family.package(requirement), requirement.purpose)
}

fn lacking(missing: &[&Requirement], family: Family) -> Error {
    let programs: Vec<&str> = missing.iter().map(|requirement| requirement.program).collect();
    let mut error = Error::new(ErrorClass::Host, format!("this machine lacks {}", programs.join(", ")));
    for requirement in missing {
        error = error.because(describe(requirement, family));
    }
    error
}

fn unknown_system(missing: &[&Requirement]) -> Error {
    let programs: Vec<&str> = missing.iter().map(|requirement| requirement.program).collect();
    let mut error = Error::new(ErrorClass::Host, format!("this machine lacks {}", programs.join(", ")));
    for requirement in missing {
        error = error.because(format!("{}, which {}", requirement.program, requirement.purpose));
    }
    error
        .because("its package manager is not known here (neither apt, dnf nor pacman by /etc/os-release)")
        .next(format!("install {} as your system does it", programs.join(", ")))
}

/// The error of the package manager as one that says what was to be installed. Interrupted and Timeout stay what they are.
fn not_installed(packages: &[String], error: &Error, by_hand: &str) -> Error {
    let class = match error.class() {
        class @ (ErrorClass::Interrupted | ErrorClass::Timeout) => class,
        _ => ErrorClass::Host,
    };
    let mut told = Error::new(class, format!("cannot install {}", packages.join(", "))).because(error.what());
    for why in error.why() {
        told = told.because(why);
    }
    for step in error.next_steps() {
        told = told.next(step);
    }
    // Only if no step names another install command, which replaces the one that failed.
    if !error.next_steps().iter().any(|step| step.contains(" install ")) {
        told = told.next(by_hand);
    }
    match error.log() {
        Some(log) => told.with_log(log.clone()),
        None => told,
    }
}

#[cfg(test)]
mod tests;
