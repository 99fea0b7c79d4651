//! SIGINT, SIGTERM and SIGHUP: a flag that waits and commands look at. A second signal ends the process at once.

#![allow(unused_variables, unused_mut, dead_code, clippy::unimplemented)]

use model::Result;

/// Installs the handlers; call once, at the start of the program.
pub fn install() -> Result<()> {
    unimplemented!()
}

/// Whether the user asked to stop.
pub fn requested() -> bool {
    unimplemented!()
}

/// A fault of class Interrupted if the user asked to stop.
pub fn check() -> Result<()> {
    unimplemented!()
}
