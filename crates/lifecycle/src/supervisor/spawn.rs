//! Starting a supervisor: this program again, with a hidden verb, in a session of its own.
//!
//! Its working directory is the instance's `vm/`, by which it finds everything, also when the project is moved.

use std::os::unix::fs::OpenOptionsExt;
use std::process::Stdio;

use host::io_error::at_path;
use model::{Error, ErrorClass, Result};
use qemu::WakeLine;

use super::try_lock;
use crate::context::Context;

/// Starts the supervisor of a VM that was started just now. A VM without one runs, which is worth a warning and no more.
pub(crate) fn beside(context: &Context<'_>) {
    if let Err(error) = spawn(context, None) {
        warn(context, &error);
    }
}

/// Starts a supervisor where one is missing: its own may have been killed, or `auto_pause` may be new.
pub(crate) fn ensure(context: &Context<'_>) {
    let paths = context.paths();
    let is_free = |path: std::path::PathBuf| try_lock(&path).map(|lock| lock.is_some());
    let is_missing = || -> Result<bool> {
        let pauses = context.project.config.auto_pause.is_some();
        Ok(is_free(paths.log_lock())? || (pauses && is_free(paths.supervisor_lock())?))
    };
    match is_missing() {
        Ok(false) => {}
        Ok(true) => beside(context),
        // Where nothing can be written, whoever holds the lock cannot be asked for.
        Err(error) => context.events.debug(error.to_string()),
    }
}

fn warn(context: &Context<'_>, error: &Error) {
    let pauses = context.project.config.auto_pause.is_some();
    let and = if pauses { ", and it will not be paused when it is idle" } else { "" };
    context.events.warning(format!("its log is bounded only while a command runs{and}: {error}"));
}

/// Starts a supervisor for a paused guest.
///
/// # Errors
/// An error when it cannot be started.
pub(crate) fn listen(context: &Context<'_>, line: WakeLine) -> Result<()> {
    spawn(context, Some(line))
}

fn spawn(context: &Context<'_>, line: Option<WakeLine>) -> Result<()> {
    let paths = context.paths();
    let failed =
        |error: std::io::Error| Error::new(ErrorClass::Failed, "cannot start the VM's supervisor").because(error);
    let program = std::env::current_exe().map_err(failed)?;
    let log_path = paths.supervisor_log();
    let log = std::fs::File::options().create(true).append(true).mode(0o600).open(&log_path);
    let log = log.map_err(|error| at_path("write", &log_path, &error))?;
    if line.is_none() {
        // Beside the supervisor of the VM another one only adds to it.
        log.set_len(0).map_err(|error| at_path("write", &log_path, &error))?;
    }
    let mut command = host::background::command(program);
    // The project is named for whoever looks at the list of processes.
    command.arg("--quiet").arg("--project").arg(context.project.paths.root());
    if let Some(name) = context.name.suffix() {
        command.args(["--name", name]);
    }
    command.arg("supervisor");
    if let Some(idle) = context.project.config.auto_pause {
        command.arg("--auto-pause").arg(humantime::format_duration(idle).to_string());
    }
    match line {
        None => command.stdin(Stdio::null()),
        Some(line) => command.arg("--paused").stdin(Stdio::from(line.into_fd())),
    };
    command.current_dir(paths.vm_dir()).stdout(Stdio::null()).stderr(log);
    command.spawn().map_err(failed)?;
    Ok(())
}
