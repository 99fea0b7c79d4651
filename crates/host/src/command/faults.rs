//! The faults of commands. Every one carries the command as it can be pasted into a shell.

use std::io::{self, ErrorKind};

use model::fault::LogTail;
use model::{Fault, FaultClass};

use super::Command;
use crate::io_fault;

/// It could not be started.
pub(super) fn start(command: &Command, error: &io::Error) -> Fault {
    let name = command.name();
    if let Some(folder) = command.folder.as_deref().filter(|folder| !folder.is_dir()) {
        return Fault::new(FaultClass::Failed, format!("cannot run `{name}` in {}", folder.display()))
            .because("there is no such folder");
    }
    match error.kind() {
        ErrorKind::NotFound => Fault::new(FaultClass::Host, format!("the program `{name}` is not installed"))
            .because(format!("`{}` was not found", command.program.to_string_lossy()))
            .next(format!("install `{name}` or add its folder to PATH, then run the command again")),
        ErrorKind::PermissionDenied => Fault::new(FaultClass::Host, format!("the program `{name}` cannot be executed"))
            .because(io_fault::text(error)),
        _ => Fault::new(FaultClass::Failed, format!("cannot run `{name}`"))
            .because(io_fault::text(error))
            .because(the_command(command)),
    }
}

/// It ended with `code`, which is not 0.
pub(super) fn exit(command: &Command, code: i32) -> Fault {
    let how = match code {
        129..=192 => format!("failed with exit code {code} (signal {})", code - 128),
        _ => format!("failed with exit code {code}"),
    };
    Fault::new(FaultClass::Failed, format!("`{}` {how}", command.name()))
}

/// It ran over its deadline.
pub(super) fn deadline(command: &Command) -> Fault {
    let limit = humantime::format_duration(command.deadline);
    Fault::new(FaultClass::Timeout, format!("`{}` did not end within {limit}", command.name()))
}

/// The user interrupted.
pub(super) fn interrupted(command: &Command) -> Fault {
    Fault::new(FaultClass::Interrupted, format!("interrupted while `{}` ran", command.name()))
}

/// It printed more than `most` bytes.
pub(super) fn too_much_output(command: &Command, most: usize) -> Fault {
    let most = most / 1024 / 1024;
    Fault::new(FaultClass::Failed, format!("`{}` printed more than {most} MiB", command.name()))
}

/// Talking to it failed.
pub(super) fn exchange(command: &Command, error: &io::Error) -> Fault {
    Fault::new(FaultClass::Failed, format!("lost contact with `{}`", command.name())).because(io_fault::text(error))
}

/// Adds the last thing it said, the command, and the lines before.
pub(super) fn with_tail(fault: Fault, command: &Command, tail: &[String]) -> Fault {
    let last = tail.iter().rev().find(|line| !line.trim().is_empty());
    let fault = match last {
        Some(last) => fault.because(last.trim()),
        None => fault,
    };
    let fault = fault.because(the_command(command));
    if tail.len() < 2 {
        return fault;
    }
    fault.with_log(LogTail { source: format!("output of `{}`", command.name()), lines: tail.to_vec() })
}

fn the_command(command: &Command) -> String {
    format!("the command was: {}", command.display())
}
