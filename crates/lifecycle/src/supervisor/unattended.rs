//! A VM beside which no command runs. Its log is bounded, since a guest that prints without end must not fill the host's
//! disk; and once the guest's system is up, its resets are resets and no longer end QEMU, which they do until then
//! (`start --no-wait`). Where a verb waits, it decides on them by the cluster.
//!
//! Only the supervisor that holds the lock for it does so. It looks, and is not told: inotify has few watches for each user,
//! and a serial port prints less in a second than a log may hold.

use std::time::{Duration, Instant};

use host::identity::ProcessHandle;
use model::{ErrorClass, Result};
use qemu::Qmp;

use super::{QMP_DEADLINE, Supervisor, take, try_lock};
use crate::instance::vm_log::OpenLog;

/// How often the log is looked at.
const INTERVAL: Duration = Duration::from_secs(1);
/// How often it is asked whether the guest's system is up.
const RESETS_INTERVAL: Duration = Duration::from_secs(5);

/// Bounds the log until the VM ends; at once where another supervisor does, after `patience`.
///
/// # Errors
/// Interrupted, and errors of the lock. What cannot be cut now is tried again.
pub(super) fn keep(supervisor: &Supervisor<'_>, process: &ProcessHandle, patience: Duration) -> Result<()> {
    // Opened first: it is this VM's, whatever has the name later.
    let mut log = OpenLog::open(&supervisor.paths.log())?;
    let Some(_lock) = take(&supervisor.paths.log_lock(), process, patience)? else { return Ok(()) };
    let mut resets = Resets::new(Instant::now());
    while !process.wait(INTERVAL)? {
        if let Some(Err(error)) = log.as_mut().map(OpenLog::bound) {
            supervisor.events.debug(error.to_string());
        }
        resets.look(supervisor)?;
    }
    Ok(())
}

/// Whether resets are let through, and when to look again.
struct Resets {
    next: Instant,
    are_allowed: bool,
}

impl Resets {
    /// First looked at at `first`.
    fn new(first: Instant) -> Self {
        Resets { next: first, are_allowed: false }
    }

    /// Looks, if it is time for it.
    ///
    /// # Errors
    /// Interrupted, and errors of the lock.
    fn look(&mut self, supervisor: &Supervisor<'_>) -> Result<()> {
        if self.are_allowed || Instant::now() < self.next {
            return Ok(());
        }
        self.next = Instant::now() + RESETS_INTERVAL;
        // A verb at work waits for the guest itself, and QMP is then its own.
        let Some(_lock) = try_lock(&supervisor.paths.lock())? else { return Ok(()) };
        let looked = Qmp::connect(&supervisor.paths.vm_dir(), QMP_DEADLINE).and_then(|mut qmp| {
            let is_up = qmp.agent_is_there()?;
            if is_up {
                qmp.allow_resets()?;
            }
            Ok(is_up)
        });
        match looked {
            Ok(is_up) => self.are_allowed = is_up,
            Err(error) if error.class() == ErrorClass::Interrupted => return Err(error),
            Err(error) => supervisor.events.debug(error.to_string()),
        }
        Ok(())
    }
}
