//! Pausing the guest of a running VM, and what follows when it resumes.

use std::path::Path;
use std::time::{Duration, SystemTime};

use host::files::{self, Mode};
use model::paths::InstancePaths;
use model::{Error, ErrorClass, EventSink, Result};
use qemu::qmp::RunState;
use qemu::{Qmp, WakeLine};
use serde::{Deserialize, Serialize};

use crate::instance::wait::guest;

/// Since when and why a guest is paused, for people to read. Whether it is paused only QEMU knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paused {
    /// When it was paused: `2026-11-23T17:20:00Z`.
    pub since: String,
    /// What paused it: `k3s-vm pause`, `nothing was connected for 10m`.
    pub why: String,
}

impl Paused {
    fn write(paths: &InstancePaths, why: &str) -> Result<()> {
        let since = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        let text = serde_json::to_vec(&Paused { since, why: why.to_owned() })
            .map_err(|error| Error::new(ErrorClass::Failed, "cannot write since when it is paused").because(error))?;
        files::write_atomic(&paths.paused(), &text, Mode::Exactly(0o600))
    }

    /// What was written when the guest was paused, if it can be read.
    pub(crate) fn read(paths: &InstancePaths) -> Option<Self> {
        serde_json::from_slice(&files::read_optional(&paths.paused()).ok()??).ok()
    }

    /// Removes it: the guest is not paused any more.
    ///
    /// # Errors
    /// An error that names the path.
    pub(crate) fn remove(paths: &InstancePaths) -> Result<()> {
        files::remove(&paths.paused())
    }
}

/// Pauses the guest and arms the wake line, on which QEMU reports who connects to it. Where the line cannot be armed, a
/// guest that ran runs on.
///
/// # Errors
/// Errors of QMP and of writing; Failed when this QEMU has no way to report connections.
pub(crate) fn pause_guest(qmp: &mut Qmp, paths: &InstancePaths, why: &str) -> Result<WakeLine> {
    let ran = qmp.status()? == RunState::Running;
    let _deferred = host::interrupt::defer();
    qmp.stop()?;
    let armed = if ran { Paused::write(paths, why) } else { Ok(()) }.and_then(|()| WakeLine::arm(qmp));
    if armed.is_err() && ran {
        qmp.cont()?;
    }
    armed
}

/// What follows when a paused guest has resumed: its clock is set, and [`Paused`] removed.
///
/// # Errors
/// An error that names the path.
pub(crate) fn after_resume(paths: &InstancePaths, events: &dyn EventSink) -> Result<()> {
    guest::set_clock(paths, events);
    Paused::remove(paths)
}

/// Whether the guest of the VM in `directory` is paused, as far as QEMU answers at once.
pub(crate) fn is_paused(directory: &Path) -> bool {
    // `status` waits for nobody.
    let limit = Duration::from_millis(100);
    Qmp::connect(directory, limit).and_then(|mut qmp| qmp.status()).is_ok_and(|state| state == RunState::Paused)
}
