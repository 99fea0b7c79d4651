//! The hidden verb that keeps a VM. It needs no configuration: whoever starts it says what it needs.

use std::os::fd::AsFd;

use lifecycle::supervisor::Supervisor;
use model::instance::InstanceName;
use model::paths::ProjectPaths;
use model::{Error, ErrorClass, Result};

use crate::args::SupervisorArgs;
use crate::output::Output;

/// Keeps the VM in whose `vm/` it was started until there is nothing to do.
///
/// # Errors
/// As [`Supervisor::run`].
pub(super) fn run(name: &InstanceName, arguments: SupervisorArgs, output: &Output) -> Result<()> {
    // Relative to the working directory, which follows the project wherever it is moved.
    let root = match name.suffix() {
        None => "../..",
        Some(_) => "../../../..",
    };
    let paths = ProjectPaths::new(root).instance(name);
    let line = match arguments.paused {
        false => None,
        true => Some(
            std::io::stdin()
                .as_fd()
                .try_clone_to_owned()
                .map_err(|error| Error::new(ErrorClass::Failed, "the line from QEMU cannot be used").because(error))?,
        ),
    };
    Supervisor { paths, auto_pause: arguments.auto_pause, events: output.events() }.run(line)
}
