//! A paused guest goes on: what every verb that needs the guest does first.

use std::path::Path;
use std::time::Duration;

use model::paths::InstancePaths;
use model::{ErrorClass, EventSink, Result};
use qemu::qmp::RunState;
use qemu::{Qmp, wake_line};

use crate::context::Context;
use crate::instance::state_file::StateFile;
use crate::instance::wait::readiness;
use crate::supervisor;
use crate::verbs::pause::Paused;

/// How long QMP may take; whoever else is connected is so for milliseconds.
const QMP_DEADLINE: Duration = Duration::from_secs(2);

/// Lets the guest of a running VM go on if it is paused, with a word.
///
/// # Errors
/// As [`go_on`].
pub(crate) fn ensure(context: &Context<'_>) -> Result<()> {
    if go_on(context)? {
        woken(&context.paths(), context.events)?;
        context.events.note("it was paused and goes on".to_owned());
    }
    Ok(())
}

/// As [`ensure`], for a verb after which the VM goes on running: it is looked after again.
///
/// # Errors
/// As [`go_on`].
pub(crate) fn ensure_kept(context: &Context<'_>) -> Result<()> {
    ensure(context)?;
    supervisor::spawn::ensure(context);
    Ok(())
}

/// Lets the guest of a running VM go on if it is paused; whether it was, so that [`woken`] has to follow. A VM that
/// cannot be asked is left as it is: what the verb does next tells more of it.
///
/// # Errors
/// Errors of QEMU when it refuses to let the guest go on.
pub(crate) fn go_on(context: &Context<'_>) -> Result<bool> {
    let directory = context.paths().vm_dir();
    // Its guest is not paused: another command is restoring it, or was killed while it did.
    if StateFile::read(&context.paths().state_file())?.is_some_and(|state_file| state_file.restoring.is_some()) {
        return Ok(false);
    }
    match Qmp::connect(&directory, QMP_DEADLINE).and_then(|mut qmp| Ok((qmp.status()?, qmp))) {
        Ok((RunState::Paused, mut qmp)) => {
            // Without the line, a guest that still stands would be woken by nobody.
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

/// What follows when a guest goes on.
///
/// # Errors
/// Errors of writing.
pub(crate) fn woken(paths: &InstancePaths, events: &dyn EventSink) -> Result<()> {
    readiness::set_clock(paths, events);
    Paused::forget(paths)
}

/// Whether the VM in `directory` is paused, as far as that can be told at once.
pub(crate) fn is_paused(directory: &Path) -> bool {
    // `status` waits for nobody.
    let limit = Duration::from_millis(100);
    Qmp::connect(directory, limit).and_then(|mut qmp| qmp.status()).is_ok_and(|state| state == RunState::Paused)
}
