//! What a VM needs while no command runs. Its log is bounded, so that a guest that prints without end does not fill the
//! host's disk. And once the guest's system is up, its resets no longer end QEMU, as they do until then
//! (`start --no-wait`). A verb that waits for the guest does both itself.
//!
//! Only the supervisor that holds the log lock does this. It polls: inotify has few watches per user, and a serial port
//! prints less in a second than a log may hold.

use std::time::{Duration, Instant};

use host::identity::ProcessHandle;
use host::lock::FileLock;
use model::paths::InstancePaths;
use model::{ErrorClass, EventSink, Result};
use qemu::Qmp;

use crate::instance::supervisor_lock::wait_for_lock;
use crate::instance::vm_log::OpenLog;

/// How often the size of the log is checked.
const LOG_INTERVAL: Duration = Duration::from_secs(1);
/// How often the guest agent is looked for.
const AGENT_INTERVAL: Duration = Duration::from_secs(5);
/// The timeout of one QMP call.
const QMP_DEADLINE: Duration = Duration::from_secs(2);

/// Bounds the log until the VM ends. Returns after `patience` if another supervisor does so. A log that cannot be
/// truncated now is tried again.
///
/// # Errors
/// Interrupted, and errors of the lock.
pub(super) fn run(
    paths: &InstancePaths,
    events: &dyn EventSink,
    process: &ProcessHandle,
    patience: Duration,
) -> Result<()> {
    // Opened before the lock: the file of this VM, even if another one gets its name later.
    let mut log = OpenLog::open(&paths.log())?;
    let Some(_lock) = wait_for_lock(&paths.log_lock(), process, patience)? else { return Ok(()) };
    let mut resets = Resets { next: Instant::now(), are_allowed: false };
    while !process.wait(LOG_INTERVAL)? {
        if let Some(Err(error)) = log.as_mut().map(OpenLog::bound) {
            events.debug(error.to_string());
        }
        resets.allow_when_up(paths, events)?;
    }
    Ok(())
}

/// Whether resets are allowed, and when to check again.
struct Resets {
    next: Instant,
    are_allowed: bool,
}

impl Resets {
    /// Allows resets once the guest agent is up, if a check is due.
    ///
    /// # Errors
    /// Interrupted, and errors of the lock.
    fn allow_when_up(&mut self, paths: &InstancePaths, events: &dyn EventSink) -> Result<()> {
        if self.are_allowed || Instant::now() < self.next {
            return Ok(());
        }
        self.next = Instant::now() + AGENT_INTERVAL;
        // A running verb waits for the guest itself, and needs QMP for itself.
        let Some(_lock) = FileLock::try_acquire(&paths.lock())? else { return Ok(()) };
        let is_up = Qmp::connect(&paths.vm_dir(), QMP_DEADLINE).and_then(|mut qmp| {
            let is_up = qmp.agent_is_there()?;
            if is_up {
                qmp.allow_resets()?;
            }
            Ok(is_up)
        });
        match is_up {
            Ok(is_up) => self.are_allowed = is_up,
            Err(error) if error.class() == ErrorClass::Interrupted => return Err(error),
            Err(error) => events.debug(error.to_string()),
        }
        Ok(())
    }
}
