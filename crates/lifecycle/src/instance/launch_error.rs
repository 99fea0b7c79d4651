//! Adds to an error of QEMU's launch what this crate knows: who holds the ports, and whether the filesystem is full.

use std::path::Path;

use host::files;
use model::{Error, ErrorClass};

use crate::context::Context;
use crate::instance::orphans;

/// With less than this many bytes free, nothing that an instance needs can be written.
const LEAST_SPACE: u64 = 1 << 20;

/// Explains an error of QEMU's launch.
pub(crate) fn explain(context: &Context<'_>, error: Error) -> Error {
    if error.class() == ErrorClass::Port {
        return orphans::explain(context, error);
    }
    // Where the log is on the same filesystem, QEMU cannot even say so.
    let error = without_space(&context.paths().vm_dir(), error);
    match error.next_steps() {
        [] => error.next("k3s-vm --debug start    # shows the command that was run"),
        _ => error,
    }
}

/// `error`, with the reason that the filesystem of `directory` is full, if it is.
pub(crate) fn without_space(directory: &Path, error: Error) -> Error {
    if files::free_space(directory).is_ok_and(|free| free >= LEAST_SPACE) {
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
