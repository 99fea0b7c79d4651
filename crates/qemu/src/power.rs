//! Stops a VM by a bounded ladder: power-off in the guest, QMP `quit`, SIGTERM, SIGKILL.

#![allow(unused_variables, dead_code, clippy::unimplemented)]

use std::path::Path;
use std::time::Duration;

use host::identity::ProcessHandle;
use model::{EventSink, Result};

/// How long each rung may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ladder {
    /// The guest's own power-off, by ACPI button and agent.
    pub power_off: Duration,
    /// The pause after which the button is pressed again: early in the boot nobody notices it.
    pub press_again: Duration,
    /// QMP `quit`.
    pub quit: Duration,
    /// SIGTERM.
    pub terminate: Duration,
    /// SIGKILL.
    pub kill: Duration,
}

/// A rung of the ladder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rung {
    /// The guest powered off.
    PowerOff,
    /// QEMU ended by QMP.
    Quit,
    /// QEMU ended by SIGTERM.
    Terminate,
    /// QEMU ended by SIGKILL.
    Kill,
}

/// How the VM went down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped {
    /// The rung that ended it.
    pub rung: Rung,
    /// Whether the guest shut itself down: its filesystems are clean.
    pub clean: bool,
}

impl Ladder {
    /// The ladder whose clean part takes at most `clean` (the user's `timeouts.stop`).
    pub fn with_clean(clean: Duration) -> Self {
        unimplemented!()
    }
    /// The ladder without the clean part, for `reset`: the disk is thrown away anyway.
    pub fn hard() -> Self {
        unimplemented!()
    }
    /// Climbs until the process is gone.
    ///
    /// # Errors
    /// Timeout when even SIGKILL did not end it; Interrupted when the user asked to stop, with the process alive.
    pub fn stop(&self, process: &ProcessHandle, folder: &Path, events: &dyn EventSink) -> Result<Stopped> {
        unimplemented!()
    }
}
