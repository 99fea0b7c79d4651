//! `snapshot restore`: an instance is put back to what it was. Its VM and its disk are given up for that.

use model::snapshot::SnapshotName;
use model::{Fault, FaultClass, Result};
use qemu::template::NotHeld;

use super::open;
use crate::context::Context;
use crate::instance_lock;
use crate::reset;
use crate::start::{self, Beginning, StartOptions, StartReport};

/// Destroys the instance and starts it as the snapshot has it. Where its RAM cannot be used any more, its disk is booted.
/// What is needed is looked at first: a snapshot that cannot be used costs nothing.
///
/// # Errors
/// State when there is no such snapshot, or its disk or guest image is gone; those of `reset` and `start`.
pub fn restore(context: &Context<'_>, name: &SnapshotName, options: StartOptions) -> Result<StartReport> {
    let _lock = instance_lock::of(context)?;
    let base = open(context, name)?;
    let pool = context.pool();
    let held = {
        let pool = pool.lock(context.events)?;
        // A disk that lacks one below it is told before anything is destroyed.
        pool.mend(&base.template.paths().disk())?;
        // Nor does the snapshot go between the end of the old instance and the begin of the new one.
        base.template.hold(context.project.config.timeouts.lock, context.events)
    };
    let _held = held.map_err(|not_held| match not_held {
        NotHeld::Fault(fault) | NotHeld::InUse(fault) => fault,
        NotHeld::Replaced => {
            Fault::new(FaultClass::State, format!("the snapshot {name} was replaced or removed just now"))
                .next("k3s-vm snapshot list")
        }
    })?;
    let destroy = || reset::destroy(context);
    let report = start::run_locked(context, options, &Beginning::Saved { base: &base, destroy: Some(&destroy) })?;
    // What the old disk alone was made of.
    pool.lock(context.events)?.collect(context.events)?;
    Ok(report)
}
