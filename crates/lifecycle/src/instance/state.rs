//! The state of an instance in one word, as `status` and `list` show it.

use model::paths::InstancePaths;
use serde::Serialize;

use crate::instance::observe::Observed;
use crate::instance::paused::is_paused;
use crate::instance::suspended_files;

/// The state of an instance in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Never started, or destroyed.
    Absent,
    /// The disk is there, nothing runs.
    Stopped,
    /// Stopped, and its RAM is saved, so that the next start can resume it.
    Suspended,
    /// QEMU runs.
    Running,
    /// QEMU runs and its guest is paused.
    Paused,
    /// A QEMU of this instance runs without a state file.
    Orphan,
}

impl State {
    /// The state of the instance with these files, whose processes were `observed`.
    pub(crate) fn of(observed: &Observed, paths: &InstancePaths) -> Self {
        match observed {
            Observed::Absent => State::Absent,
            Observed::Stopped if suspended_files::is_saved(&paths.suspended()) => State::Suspended,
            Observed::Stopped => State::Stopped,
            Observed::Orphan(_) => State::Orphan,
            Observed::Running(_) if is_paused(&paths.vm_dir()) => State::Paused,
            Observed::Running(_) => State::Running,
        }
    }
}
