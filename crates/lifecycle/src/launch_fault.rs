//! Why an instance did not come up, told with what this layer knows: whose the ports are, and whether the disk is full.

use std::path::Path;

use host::files;
use model::{Fault, FaultClass};

use crate::context::Context;
use crate::leftovers;

/// With less than this many bytes free, nothing that an instance needs can be written.
const LEAST_SPACE: u64 = 1 << 20;

/// A fault of QEMU's start.
pub(crate) fn explain(context: &Context<'_>, fault: Fault) -> Fault {
    if fault.class() == FaultClass::Port {
        return leftovers::explain(context, fault);
    }
    // QEMU cannot even say so where its log is on the same disk.
    let fault = without_space(&context.paths().vm_dir(), fault);
    match fault.next_steps() {
        [] => fault.next("k3s-vm --debug start    # shows the command that was run"),
        _ => fault,
    }
}

/// `fault`, and that the disk of `folder` is full if it is.
pub(crate) fn without_space(folder: &Path, fault: Fault) -> Fault {
    if files::free_space(folder).is_ok_and(|free| free >= LEAST_SPACE) {
        return fault;
    }
    let mut told = Fault::new(FaultClass::Host, fault.what());
    for why in fault.why() {
        told = told.because(why);
    }
    let shown = host::command::quote(folder.as_os_str());
    let told = told.because(format!("there is no space left in {}", folder.display()));
    told.next(format!("free some space, then run the command again; `df -h {shown}` shows how much there is"))
}
