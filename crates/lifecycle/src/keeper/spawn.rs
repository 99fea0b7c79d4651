//! Starting a keeper: this program again, with a hidden verb, in a session of its own.
//!
//! Its working folder is the instance's `vm/`, by which it finds everything, also when the project is moved.

use std::os::unix::fs::OpenOptionsExt;
use std::process::Stdio;

use host::io_fault::at_path;
use model::{Fault, FaultClass, Result};
use qemu::WakeLine;

use super::try_lock;
use crate::context::Context;

/// Starts a keeper where `auto_pause` is set and none is at work. Without one the VM is never paused by itself, which is
/// worth a warning and no more.
pub(crate) fn ensure(context: &Context<'_>) {
    if context.project.config.auto_pause.is_none() {
        return;
    }
    let started = try_lock(&context.paths().keeper_lock()).and_then(|lock| match lock {
        None => Ok(()),
        Some(lock) => {
            drop(lock);
            spawn(context, None)
        }
    });
    if let Err(fault) = started {
        context.events.warning(format!("it will not be paused when it is idle: {fault}"));
    }
}

/// Starts a keeper for a paused guest.
///
/// # Errors
/// A fault when it cannot be started.
pub(crate) fn listen(context: &Context<'_>, line: WakeLine) -> Result<()> {
    spawn(context, Some(line))
}

fn spawn(context: &Context<'_>, line: Option<WakeLine>) -> Result<()> {
    let paths = context.paths();
    let failed = |error: std::io::Error| Fault::new(FaultClass::Failed, "cannot start the VM's keeper").because(error);
    let program = std::env::current_exe().map_err(failed)?;
    let log_path = paths.keeper_log();
    let log = std::fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&log_path);
    let log = log.map_err(|error| at_path("write", &log_path, &error))?;
    let mut command = host::background::command(program);
    // The project is named for whoever looks at the list of processes.
    command.arg("--quiet").arg("--project").arg(context.project.paths.root());
    if let Some(name) = context.name.suffix() {
        command.args(["--name", name]);
    }
    command.arg("keeper");
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
