//! The QMP connection to the VM of an instance.

use std::time::Duration;

use model::Result;
use model::paths::InstancePaths;
use qemu::Qmp;

/// How long one QMP call may take.
const DEADLINE: Duration = Duration::from_secs(20);

/// Connects to the QMP of the running VM.
///
/// # Errors
/// As [`Qmp::connect`].
pub(crate) fn connect(paths: &InstancePaths) -> Result<Qmp> {
    Qmp::connect(&paths.vm_dir(), DEADLINE)
}
