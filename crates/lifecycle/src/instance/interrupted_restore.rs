//! After a restore whose program was killed, a QEMU is left that waits for its device state, or whose guest never resumed.
//! The next verb that takes the instance's lock ends it.

use std::time::Duration;

use host::files;
use model::Result;
use qemu::Qmp;
use qemu::power::Escalation;
use qemu::qmp::RunState;

use crate::context::Context;
use crate::instance::observe::{Observed, observe};
use crate::instance::shutdown;
use crate::instance::state_file::{Restoring, StateFile};

/// How long QMP may take. No other client is connected to such a VM.
const QMP_DEADLINE: Duration = Duration::from_secs(2);

/// Whether the guest of a VM that was being restored has never resumed: QEMU waits for the device state, or has read it.
/// Such a VM was not paused by anybody.
fn has_never_run(state: &RunState) -> bool {
    match state {
        RunState::Running => false,
        RunState::Paused => true,
        RunState::Other(name) => matches!(name.as_str(), "inmigrate" | "prelaunch"),
    }
}

/// Ends the QEMU that such a restore has left. The caller holds the instance's lock, so that no restore is in progress.
///
/// # Errors
/// Errors of looking at the instance; Timeout when QEMU does not end.
pub(crate) fn end(context: &Context<'_>) -> Result<()> {
    let paths = context.paths();
    let Some(restoring) = StateFile::read(&paths.state_file())?.and_then(|state_file| state_file.restoring) else {
        return Ok(());
    };
    let Observed::Running(running) = observe(context)? else { return Ok(()) };
    match Qmp::connect(&paths.vm_dir(), QMP_DEADLINE).and_then(|mut qmp| qmp.status()) {
        // It was killed right after the guest had resumed.
        Ok(RunState::Running) => {
            let mut state_file = running.state_file;
            state_file.restoring = None;
            state_file.write(&paths.state_file())
        }
        Ok(state) if has_never_run(&state) => {
            shutdown::end(&running.process, &paths, &Escalation::hard(), context.events)?;
            if restoring == Restoring::Template {
                // The next start makes another disk. The disk of a snapshot is what the user wants: it is booted.
                files::remove(&paths.disk())?;
            }
            context.events.note("a command was killed while it restored the VM: its QEMU was ended".to_owned());
            Ok(())
        }
        // It resumed and failed later.
        Ok(_) => Ok(()),
        // Unknown is not "no": the guest may run.
        Err(error) => {
            context.events.debug(format!("whether a restore was interrupted is not known: {error}"));
            Ok(())
        }
    }
}
