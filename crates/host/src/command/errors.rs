//! The errors of commands.

use std::io::{self, ErrorKind};

use model::error::LogTail;
use model::{Error, ErrorClass};

use super::description::Command;
use crate::io_error;

/// The command could not be started.
pub(super) fn start(command: &Command, error: &io::Error) -> Error {
    let name = command.name();
    if let Some(directory) = command.directory.as_deref().filter(|directory| !directory.is_dir()) {
        return Error::new(ErrorClass::Failed, format!("cannot run `{name}` in {}", directory.display()))
            .because("there is no such directory");
    }
    match error.kind() {
        ErrorKind::NotFound => Error::new(ErrorClass::Host, format!("the program `{name}` is not installed"))
            .because(format!("`{}` was not found", command.program.to_string_lossy()))
            .next(format!("install `{name}` or add its directory to PATH, then run the command again")),
        ErrorKind::PermissionDenied => Error::new(ErrorClass::Host, format!("the program `{name}` cannot be executed"))
            .because(io_error::text(error)),
        _ => Error::new(ErrorClass::Failed, format!("cannot run `{name}`"))
            .because(io_error::text(error))
            .because(the_command(command)),
    }
}

/// The command ended with `code`, which is not 0.
pub(super) fn exit(command: &Command, code: i32) -> Error {
    let how = match code {
        129..=192 => format!("failed with exit code {code} (signal {})", code - 128),
        _ => format!("failed with exit code {code}"),
    };
    Error::new(ErrorClass::Failed, format!("`{}` {how}", command.name()))
}

/// The command reached its deadline.
pub(super) fn deadline(command: &Command) -> Error {
    let limit = humantime::format_duration(command.deadline);
    Error::new(ErrorClass::Timeout, format!("`{}` did not end within {limit}", command.name()))
}

/// The user interrupted.
pub(super) fn interrupted(command: &Command) -> Error {
    Error::new(ErrorClass::Interrupted, format!("interrupted while `{}` ran", command.name()))
}

/// The command printed more than `most` bytes.
pub(super) fn too_much_output(command: &Command, most: usize) -> Error {
    let most = most / 1024 / 1024;
    Error::new(ErrorClass::Failed, format!("`{}` printed more than {most} MiB", command.name()))
}

/// Reading from the command or waiting for it failed.
pub(super) fn lost_contact(command: &Command, error: &io::Error) -> Error {
    Error::new(ErrorClass::Failed, format!("lost contact with `{}`", command.name())).because(io_error::text(error))
}

/// Adds the last line of output and the command as reasons, and all lines of `tail` as the log.
pub(super) fn with_tail(error: Error, command: &Command, tail: &[String]) -> Error {
    let last = tail.iter().rev().find(|line| !line.trim().is_empty());
    let error = match last {
        Some(last) => error.because(last.trim()),
        None => error,
    };
    let error = error.because(the_command(command));
    if tail.len() < 2 {
        return error;
    }
    error.with_log(LogTail { source: format!("output of `{}`", command.name()), lines: tail.to_vec() })
}

fn the_command(command: &Command) -> String {
    format!("the command was: {}", command.display())
}
