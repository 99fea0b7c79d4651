//! Resets of a guest that nobody waits for (`start --no-wait`): they end QEMU until the guest's system is up, and are
//! resets from then on. Where a verb waits, it decides by the cluster.

use std::time::{Duration, Instant};

use model::{FaultClass, Result};
use qemu::Qmp;

use super::{Keeper, QMP_DEADLINE, try_lock};

/// How often it is asked whether the guest's system is up.
const INTERVAL: Duration = Duration::from_secs(5);

/// Whether resets are let through, and when to look again.
pub(super) struct Resets {
    next: Instant,
    are_allowed: bool,
}

impl Resets {
    /// First looked at at `first`.
    pub(super) fn new(first: Instant) -> Self {
        Resets { next: first, are_allowed: false }
    }

    /// Looks, if it is time for it.
    ///
    /// # Errors
    /// Interrupted, and faults of the lock.
    pub(super) fn look(&mut self, keeper: &Keeper<'_>) -> Result<()> {
        if self.are_allowed || Instant::now() < self.next {
            return Ok(());
        }
        self.next = Instant::now() + INTERVAL;
        // A verb at work waits for the guest itself, and QMP is then its own.
        let Some(_lock) = try_lock(&keeper.paths.lock())? else { return Ok(()) };
        let looked = Qmp::connect(&keeper.paths.vm_dir(), QMP_DEADLINE).and_then(|mut qmp| {
            let is_up = qmp.agent_is_there()?;
            if is_up {
                qmp.allow_resets()?;
            }
            Ok(is_up)
        });
        match looked {
            Ok(is_up) => self.are_allowed = is_up,
            Err(fault) if fault.class() == FaultClass::Interrupted => return Err(fault),
            Err(fault) => keeper.events.debug(fault.to_string()),
        }
        Ok(())
    }
}
