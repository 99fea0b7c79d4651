//! A restore whose program was killed has left a QEMU that waits for its state, or whose guest was never resumed. The next
//! verb that takes the instance's lock ends it.

use std::time::Duration;

use host::files;
use model::Result;
use qemu::Qmp;
use qemu::power::Ladder;
use qemu::qmp::RunState;

use crate::context::Context;
use crate::observe::{Observed, observe};
use crate::record::{Record, Restoring};
use crate::stop;

/// How long QMP may take; nobody else is connected to such a VM.
const QMP_DEADLINE: Duration = Duration::from_secs(2);

/// Ends what is left of such a restore. The instance's lock is held, so that none is under way.
///
/// # Errors
/// Faults of looking at the instance; Timeout when QEMU does not end.
pub(crate) fn end(context: &Context<'_>) -> Result<()> {
    let paths = context.paths();
    let Some(restoring) = Record::read(&paths.record())?.and_then(|record| record.restoring) else { return Ok(()) };
    let Observed::Running(running) = observe(context)? else { return Ok(()) };
    match Qmp::connect(&paths.vm_dir(), QMP_DEADLINE).and_then(|mut qmp| qmp.status()) {
        // It was killed right after the guest had resumed.
        Ok(RunState::Running) => {
            let mut record = running.record;
            record.restoring = None;
            record.write(&paths.record())
        }
        Ok(_) => {
            stop::end(&running.process, &paths, &Ladder::hard(), context.events)?;
            if restoring == Restoring::OntoNewDisk {
                // Its guest has never run.
                files::remove(&paths.disk())?;
            }
            context.events.note("a start was killed while it restored the VM; what it left was removed".to_owned());
            Ok(())
        }
        // Unknown is not no: the guest may run.
        Err(fault) => {
            context.events.debug(format!("whether a restore was interrupted is not known: {fault}"));
            Ok(())
        }
    }
}
