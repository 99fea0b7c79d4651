//! A restore whose program was killed has left a QEMU that waits for its state, or whose guest was never resumed. The next
//! verb that takes the instance's lock ends it.

use std::time::Duration;

use host::files;
use model::Result;
use qemu::Qmp;
use qemu::power::Escalation;
use qemu::qmp::RunState;

use crate::context::Context;
use crate::instance::observe::{Observed, observe};
use crate::instance::state_file::{Restoring, StateFile};
use crate::verbs::stop;

/// How long QMP may take; nobody else is connected to such a VM.
const QMP_DEADLINE: Duration = Duration::from_secs(2);

/// Whether the guest of a VM that was being restored has not resumed: QEMU waits for the state, or has read it. Nobody has
/// paused such a VM.
fn has_never_run(state: &RunState) -> bool {
    match state {
        RunState::Running => false,
        RunState::Paused => true,
        RunState::Other(name) => matches!(name.as_str(), "inmigrate" | "prelaunch"),
    }
}

/// Ends what is left of such a restore. The instance's lock is held, so that none is under way.
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
            stop::end(&running.process, &paths, &Escalation::hard(), context.events)?;
            if restoring == Restoring::Template {
                // The next start makes another one. That of a snapshot is what the user wants: it is booted.
                files::remove(&paths.disk())?;
            }
            context.events.note("a command was killed while it restored the VM: its QEMU was ended".to_owned());
            Ok(())
        }
        // It has resumed and come to a bad end since.
        Ok(_) => Ok(()),
        // Unknown is not no: the guest may run.
        Err(error) => {
            context.events.debug(format!("whether a restore was interrupted is not known: {error}"));
            Ok(())
        }
    }
}
