//! The log of a VM beside which no command runs: a guest that prints without end must not fill the host's disk.
//!
//! Only the keeper that holds the lock for it does so. It looks, and is not told: inotify has few watches for each user,
//! and a serial port prints less in a second than a log may hold.

use std::time::{Duration, Instant};

use host::identity::ProcessHandle;
use model::Result;

use super::resets::Resets;
use super::{Keeper, take};
use crate::vm_log::OpenLog;

/// How often the log is looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// Bounds the log until the VM ends; at once where another keeper does, after `patience`.
///
/// # Errors
/// Interrupted, and faults of the lock. What cannot be cut now is tried again.
pub(super) fn keep(keeper: &Keeper<'_>, process: &ProcessHandle, patience: Duration) -> Result<()> {
    // Opened first: it is this VM's, whatever has the name later.
    let mut log = OpenLog::open(&keeper.paths.log())?;
    let Some(_lock) = take(&keeper.paths.log_lock(), process, patience)? else { return Ok(()) };
    let mut resets = Resets::new(Instant::now());
    while !process.wait(INTERVAL)? {
        if let Some(Err(fault)) = log.as_mut().map(OpenLog::bound) {
            keeper.events.debug(fault.to_string());
        }
        resets.look(keeper)?;
    }
    Ok(())
}
