//! Locks of an instance that a supervisor does not wait for, or only for as long as the VM runs.

use std::path::Path;
use std::time::{Duration, Instant};

use host::identity::ProcessHandle;
use host::lock::FileLock;
use model::Result;

/// How long to wait between two attempts.
const RETRY_INTERVAL: Duration = Duration::from_millis(200);

/// Takes the lock as [`FileLock::try_acquire`] does, but retries for as long as `patience` while the VM runs.
///
/// # Errors
/// As [`FileLock::try_acquire`].
pub(crate) fn wait_for_lock(path: &Path, process: &ProcessHandle, patience: Duration) -> Result<Option<FileLock>> {
    let begin = Instant::now();
    loop {
        let lock = FileLock::try_acquire(path)?;
        if lock.is_some() || begin.elapsed() >= patience || process.wait(RETRY_INTERVAL)? {
            return Ok(lock);
        }
    }
}
