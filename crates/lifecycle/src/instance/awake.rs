//! Resuming a paused guest, which every verb that needs the guest does first.

use std::time::Duration;

use model::{ErrorClass, Result};
use qemu::qmp::RunState;
use qemu::{Qmp, wake_line};

use crate::context::Context;
use crate::instance::paused;
use crate::instance::state_file::StateFile;
use crate::instance::supervisor_process;

/// How long QMP may take. Only one client can be connected; others hold the connection for milliseconds.
const QMP_DEADLINE: Duration = Duration::from_secs(2);

/// Resumes the guest of a running VM if it is paused, with a note.
///
/// # Errors
/// As [`resume`].
pub(crate) fn ensure(context: &Context<'_>) -> Result<()> {
    if resume(context)? {
        paused::after_resume(&context.paths(), context.events)?;
        context.events.note("it was paused and was resumed".to_owned());
    }
    Ok(())
}

/// As [`ensure`], for a verb that leaves the VM running: also starts a supervisor where none runs.
///
/// # Errors
/// As [`resume`].
pub(crate) fn ensure_supervised(context: &Context<'_>) -> Result<()> {
    ensure(context)?;
    supervisor_process::ensure(context);
    Ok(())
}

/// Resumes the guest of a running VM if it is paused. Returns whether it was; then the caller calls
/// [`paused::after_resume`].
///
/// A VM that does not answer is left as it is: what the verb does next reports more of it.
///
/// # Errors
/// Errors of QEMU when it refuses to resume the guest; Interrupted.
pub(crate) fn resume(context: &Context<'_>) -> Result<bool> {
    let directory = context.paths().vm_dir();
    // The guest of a restore is not paused by anybody: another command is restoring it, or was killed while it did.
    if StateFile::read(&context.paths().state_file())?.is_some_and(|state_file| state_file.restoring.is_some()) {
        return Ok(false);
    }
    match Qmp::connect(&directory, QMP_DEADLINE).and_then(|mut qmp| Ok((qmp.status()?, qmp))) {
        Ok((RunState::Paused, mut qmp)) => {
            // An interrupt between the two would leave a paused guest whose wake line is disarmed.
            let _deferred = host::interrupt::defer();
            wake_line::disarm(&mut qmp)?;
            qmp.cont()?;
            Ok(true)
        }
        Ok(_) => Ok(false),
        Err(error) if error.class() == ErrorClass::Interrupted => Err(error),
        Err(error) => {
            context.events.debug(format!("whether it is paused is not known: {error}"));
            Ok(false)
        }
    }
}
