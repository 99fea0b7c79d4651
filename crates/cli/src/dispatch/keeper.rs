//! The hidden verb that keeps a VM. It needs no configuration: whoever starts it says what it needs.

use std::os::fd::AsFd;

use lifecycle::keeper::Keeper;
use model::instance::InstanceName;
use model::paths::ProjectPaths;
use model::{Fault, FaultClass, Result};

use crate::args::KeeperArgs;
use crate::output::Output;

/// Keeps the VM in whose `vm/` it was started until there is nothing to do.
///
/// # Errors
/// As [`Keeper::run`].
pub(super) fn run(name: &InstanceName, arguments: KeeperArgs, output: &Output) -> Result<()> {
    // Relative to the working folder, which follows the project wherever it is moved.
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
                .map_err(|error| Fault::new(FaultClass::Failed, "the line from QEMU cannot be used").because(error))?,
        ),
    };
    Keeper { paths, auto_pause: arguments.auto_pause, events: output.events() }.run(line)
}
