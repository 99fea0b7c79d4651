//! Starting a supervisor.
//!
//! Its working directory is the instance's `vm/`, by which it finds all files even when the project is moved.

use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::Stdio;

use host::io_error::at_path;
use host::lock::FileLock;
use model::{Error, ErrorClass, Result};
use qemu::WakeLine;

use crate::background::BackgroundTask;
use crate::context::Context;

/// Starts the supervisor of a VM that was just started. A VM runs without one, so a failure is only a warning.
pub(crate) fn beside(context: &Context<'_>) {
    if let Err(error) = spawn(context, None) {
        let pauses = context.project.config.auto_pause.is_some();
        let and = if pauses { ", and it will not be paused when it is idle" } else { "" };
        context.events.warning(format!("its log is bounded only while a command runs{and}: {error}"));
    }
}

/// Starts a supervisor where one is missing: it may have been killed, or `auto_pause` may be newly configured.
pub(crate) fn ensure(context: &Context<'_>) {
    let paths = context.paths();
    let is_free = |path: PathBuf| FileLock::try_acquire(&path).map(|lock| lock.is_some());
    let is_missing = || -> Result<bool> {
        let pauses = context.project.config.auto_pause.is_some();
        Ok(is_free(paths.log_lock())? || (pauses && is_free(paths.supervisor_lock())?))
    };
    match is_missing() {
        Ok(false) => {}
        Ok(true) => beside(context),
        // Where the lock files cannot be written, nobody can tell who holds them.
        Err(error) => context.events.debug(error.to_string()),
    }
}

/// Starts a supervisor that resumes the paused guest when QEMU calls on `line`.
///
/// # Errors
/// A Failed error when it cannot be started.
pub(crate) fn listen(context: &Context<'_>, line: WakeLine) -> Result<()> {
    spawn(context, Some(line))
}

fn spawn(context: &Context<'_>, line: Option<WakeLine>) -> Result<()> {
    let paths = context.paths();
    let failed =
        |error: std::io::Error| Error::new(ErrorClass::Failed, "cannot start the VM's supervisor").because(error);
    let task = BackgroundTask::Supervisor {
        instance: &context.name,
        auto_pause: context.project.config.auto_pause,
        paused: line.is_some(),
    };
    let mut command = context.background(task).map_err(failed)?;
    let log_path = paths.supervisor_log();
    let log = std::fs::File::options().create(true).append(true).mode(0o600).open(&log_path);
    let log = log.map_err(|error| at_path("write", &log_path, &error))?;
    if line.is_none() {
        // A supervisor with a line works beside another one and shares its log.
        log.set_len(0).map_err(|error| at_path("write", &log_path, &error))?;
    }
    command.stdin(line.map_or_else(Stdio::null, |line| Stdio::from(line.into_fd())));
    command.current_dir(paths.vm_dir()).stdout(Stdio::null()).stderr(log);
    command.spawn().map_err(failed)?;
    Ok(())
}
