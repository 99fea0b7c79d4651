//! Why a QEMU died before it answered: the error for the user, from QEMU's last lines.

use std::io::{Read, Seek, SeekFrom};
use std::net::IpAddr;
use std::path::Path;
use std::process::ExitStatus;

use host::process_table::{ProcessInfo, processes};
use model::error::LogTail;
use model::port::Port;
use model::{Error, ErrorClass};

use super::error::LaunchError;
use crate::{Machine, last_words, port_error};

/// How many lines of the log an error carries.
const LINES: usize = 20;

/// What QEMU's last lines mean.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Cause {
    /// QEMU could not listen on a port.
    PortTaken(IpAddr, Port),
    /// Another QEMU runs on this disk, or holds this pid file.
    AnotherRuns,
    /// KVM does not work, though it did when it was tested; QEMU's line on it.
    Kvm(String),
    /// The host has too little memory.
    NoMemory,
    /// Anything else; QEMU's last line.
    Other(String),
}

/// The error for a QEMU that ended with `status`; its output begins at byte `begin` of the log.
pub(super) fn error(machine: &Machine, log: &Path, begin: u64, status: ExitStatus) -> LaunchError {
    let lines = last_lines(log, begin);
    let cause = cause(&lines);
    let others = if cause == Cause::AnotherRuns { others(machine) } else { Vec::new() };
    let error = attach(message(&cause, machine, &others, &status.to_string()), log, lines);
    match cause {
        Cause::PortTaken(..) => LaunchError::PortTaken(error),
        Cause::Other(_) => LaunchError::Died(error),
        Cause::AnotherRuns | Cause::Kvm(_) | Cause::NoMemory => LaunchError::Other(error),
    }
}

/// `error` with the end of this run's output.
pub(super) fn with_log(error: Error, log: &Path, begin: u64) -> Error {
    attach(error, log, last_lines(log, begin))
}

fn attach(error: Error, log: &Path, lines: Vec<String>) -> Error {
    if lines.is_empty() { error } else { error.with_log(LogTail { source: log.display().to_string(), lines }) }
}

fn last_lines(log: &Path, begin: u64) -> Vec<String> {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = std::fs::File::open(log)?;
        file.seek(SeekFrom::Start(begin))?;
        let mut bytes = Vec::new();
        file.take(1 << 20).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let text = String::from_utf8_lossy(&read().unwrap_or_default()).into_owned();
    let lines: Vec<String> = text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect();
    lines[lines.len().saturating_sub(LINES)..].to_vec()
}

/// Texts of QEMU 7.2.
fn cause(lines: &[String]) -> Cause {
    let with = |part: &str| lines.iter().rev().find(|line| line.contains(part));
    if let Some((bind, port)) = with("Could not set up host forwarding rule").and_then(|line| refused_forward(line)) {
        return Cause::PortTaken(bind, port);
    }
    if with("Failed to get \"write\" lock").or(with("Cannot lock pid file")).is_some() {
        return Cause::AnotherRuns;
    }
    let words = ["KVM kernel module", "failed to initialize kvm", "failed to initialize KVM", "failed to set MSR"];
    if words.iter().any(|words| with(words).is_some()) || with("invalid accelerator kvm").is_some() {
        return Cause::Kvm(last_words::of(lines));
    }
    if with("cannot set up guest memory").or(with("cannot allocate memory")).is_some() {
        return Cause::NoMemory;
    }
    Cause::Other(last_words::of(lines))
}

/// `…: Could not set up host forwarding rule 'tcp:127.0.0.1:6443-:6443'`
fn refused_forward(line: &str) -> Option<(IpAddr, Port)> {
    let rule = line.split('\'').nth(1)?.strip_prefix("tcp:")?;
    let (address, port) = rule.split_once('-')?.0.rsplit_once(':')?;
    Some((address.parse().ok()?, Port::parse(port)?))
}

/// Live processes that were started for the same instance.
fn others(machine: &Machine) -> Vec<ProcessInfo> {
    let mut found = processes().unwrap_or_default();
    found.retain(|process| {
        let pid_file = process.arguments.iter().any(|word| word == machine.pid_file.as_os_str());
        pid_file || process.arguments.iter().any(|word| *word == *machine.uuid)
    });
    found
}

fn message(cause: &Cause, machine: &Machine, others: &[ProcessInfo], status: &str) -> Error {
    match cause {
        Cause::PortTaken(bind, port) => port_error::taken(*bind, *port),
        Cause::AnotherRuns => {
            let mut error = Error::new(ErrorClass::State, format!("another QEMU runs on the disk of {}", machine.name));
            for other in others {
                error = error.because(format!("pid {} of user {}", other.pid, other.user));
            }
            if others.is_empty() {
                error = error.because("its process is not seen; it may be another user's");
            }
            error.next("k3s-vm stop").next("k3s-vm reset    # also ends VMs that were left behind; destroys the disk")
        }
        Cause::Kvm(line) => Error::new(ErrorClass::Host, "KVM cannot be used")
            .because(line)
            .next("k3s-vm start --accel tcg    # slower, works everywhere"),
        Cause::NoMemory => {
            let mebibytes = machine.memory / (1024 * 1024);
            Error::new(ErrorClass::Host, format!("the host has no {mebibytes} MiB of memory for the VM"))
                .next("set a smaller memory under [vm] in .k3s-vm/config.toml")
        }
        Cause::Other(line) => Error::new(ErrorClass::Guest, format!("QEMU ended at once ({status})")).because(line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Cause {
        cause(&text.lines().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn reads_what_qemu_says() {
        assert_eq!(
            of("qemu-system-x86_64: -netdev {\"type\":\"user\"}: Could not set up host forwarding rule \
                'tcp:127.0.0.1:6443-:6443'"),
            Cause::PortTaken("127.0.0.1".parse().unwrap(), Port::literal(6443))
        );
        for (text, expected) in [
            (
                "qemu-system-x86_64: -device {}: Failed to get \"write\" lock\nIs another process using the image?",
                Cause::AnotherRuns,
            ),
            (
                "qemu-system-x86_64: cannot create PID file: Cannot lock pid file: Resource temporarily unavailable",
                Cause::AnotherRuns,
            ),
            (
                "Could not access KVM kernel module: Permission denied\n\
                 qemu-system-x86_64: -accel kvm: failed to initialize kvm: Permission denied",
                Cause::Kvm("-accel kvm: failed to initialize kvm: Permission denied".to_owned()),
            ),
            (
                "Could not access KVM kernel module: No such file or directory\n\
                 qemu-system-x86_64: -accel kvm: failed to initialize kvm: No such file or directory",
                Cause::Kvm("-accel kvm: failed to initialize kvm: No such file or directory".to_owned()),
            ),
            (
                "qemu-system-x86_64: error: failed to set MSR 0x10a to 0x9ff\nAssertion failed.",
                Cause::Kvm("error: failed to set MSR 0x10a to 0x9ff".to_owned()),
            ),
            ("qemu-system-x86_64: cannot set up guest memory 'ram0': Cannot allocate memory", Cause::NoMemory),
            (
                "qemu-system-x86_64: could not load kernel '/x': No such file or directory\n",
                Cause::Other("could not load kernel '/x': No such file or directory".to_owned()),
            ),
            ("", Cause::Other("it wrote nothing".to_owned())),
        ] {
            assert_eq!(of(text), expected, "{text}");
        }
    }
}
