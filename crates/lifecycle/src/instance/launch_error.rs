//! Adds to an error of QEMU's launch what this crate knows: who holds the ports, and whether the filesystem is full.

use std::path::Path;

use host::files;
use model::{Error, ErrorClass};
use qemu::LaunchError;

use crate::context::Context;
use crate::instance::orphans;

/// With less than this many bytes free, nothing that an instance needs can be written.
const LEAST_SPACE: u64 = 1 << 20;

/// Explains an error of QEMU's launch.
pub(crate) fn explain(context: &Context<'_>, error: LaunchError) -> LaunchError {
    if let LaunchError::PortTaken(error) = error {
        return LaunchError::PortTaken(orphans::explain(context, error));
    }
    let directory = context.paths().vm_dir();
    // Where the log is on the same filesystem, QEMU cannot even say so.
    if is_full(&directory) {
        return LaunchError::Other(without_space(&directory, error.into()));
    }
    error.map(|error| match error.next_steps() {
        [] => error.next("k3s-vm --debug start    # shows the command that was run"),
        _ => error,
    })
}

fn is_full(directory: &Path) -> bool {
    !files::free_space(directory).is_ok_and(|free| free >= LEAST_SPACE)
}

/// `error`, with the reason that the filesystem of `directory` is full, if it is.
pub(crate) fn without_space(directory: &Path, error: Error) -> Error {
    if !is_full(directory) {
        return error;
    }
    let mut told = Error::new(ErrorClass::Host, error.what());
    for why in error.why() {
        told = told.because(why);
    }
    let shown = host::command::quote(directory.as_os_str());
    let told = told.because(format!("there is no space left in {}", directory.display()));
    told.next(format!("free some space, then run the command again; `df -h {shown}` shows how much there is"))
}
