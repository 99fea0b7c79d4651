//! `snapshot restore`: an instance is put back to what it was. Its VM and its disk are given up for that.

use model::snapshot::SnapshotName;
use model::{Error, ErrorClass, Result};
use qemu::saved_state::NotHeld;

use crate::context::Context;
use crate::instance::lock;
use crate::saved_vm::backing_files::BackingFiles;
use crate::saved_vm::snapshot;
use crate::start::{self, Beginning, StartOptions, StartReport};
use crate::verbs::reset;

/// Destroys the instance and starts it as the snapshot has it. Where its RAM cannot be used any more, its disk is booted.
/// What is needed is looked at first: a snapshot that cannot be used costs nothing.
///
/// # Errors
/// State when there is no such snapshot, or its disk or guest image is gone; those of `reset` and `start`.
pub fn restore(context: &Context<'_>, name: &SnapshotName, options: StartOptions) -> Result<StartReport> {
    let _lock = lock::of(context)?;
    let saved_vm = snapshot::open(context, name)?;
    let backing_files = BackingFiles::of_project(&context.project);
    let held = {
        let locked = backing_files.lock(context.events)?;
        // A disk that lacks one below it is told before anything is destroyed.
        locked.mend(&saved_vm.saved_state.paths().disk())?;
        // Nor does the snapshot go between the end of the old instance and the begin of the new one.
        saved_vm.saved_state.hold(context.project.config.timeouts.lock, context.events)
    };
    let _held = held.map_err(|not_held| match not_held {
        NotHeld::Error(error) | NotHeld::InUse(error) => error,
        NotHeld::Replaced => {
            Error::new(ErrorClass::State, format!("the snapshot {name} was replaced or removed just now"))
                .next("k3s-vm snapshot list")
        }
    })?;
    let destroy = || reset::destroy(context);
    let report =
        start::run_locked(context, options, &Beginning::Saved { saved_vm: &saved_vm, destroy: Some(&destroy) })?;
    // What the old disk alone was made of.
    backing_files.lock(context.events)?.collect(context.events)?;
    Ok(report)
}
