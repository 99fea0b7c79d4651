//! [`Machine`] -> the words of QEMU's command line.

use std::ffi::OsString;

use crate::Machine;

/// The arguments, without the program, in a fixed order.
pub fn arguments(machine: &Machine) -> Vec<OsString> {
    let _ = machine;
    unimplemented!()
}
