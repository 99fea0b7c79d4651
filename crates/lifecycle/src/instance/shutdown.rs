//! Ending the QEMU of an instance, and removing the files that say that it runs.

use host::files;
use host::identity::ProcessHandle;
use model::paths::InstancePaths;
use model::{Error, ErrorClass, EventSink, Result};
use qemu::power::{Escalation, Stage};

use crate::instance::paused::Paused;

/// How a VM ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The guest shut itself down.
    PoweredOff,
    /// QEMU was ended while the guest ran.
    Forced,
}

/// Ends `process` by `escalation`, and removes the files that say that it runs.
///
/// # Errors
/// A Timeout error when not even SIGKILL ends the process; Interrupted; an error that names a path.
pub(crate) fn end(
    process: &ProcessHandle,
    paths: &InstancePaths,
    escalation: &Escalation,
    events: &dyn EventSink,
) -> Result<Ended> {
    let stopped = escalation.stop(process, &paths.vm_dir(), events)?;
    if process.is_alive() {
        return Err(Error::new(ErrorClass::Timeout, format!("QEMU (pid {}) does not end", process.pid())));
    }
    remove_run_files(paths)?;
    if stopped.stage != Stage::PowerOff {
        events.debug(format!("QEMU was ended by {:?}", stopped.stage));
    }
    Ok(if stopped.clean { Ended::PoweredOff } else { Ended::Forced })
}

/// Removes the files that say that the VM runs: state file, [`Paused`] and pid file.
///
/// # Errors
/// An error that names the path.
pub(crate) fn remove_run_files(paths: &InstancePaths) -> Result<()> {
    files::remove(&paths.state_file())?;
    Paused::remove(paths)?;
    files::remove(&paths.pid())
}
