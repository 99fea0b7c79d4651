//! Runs the guest that proves an accelerator, until it has printed its nonce, its QEMU has ended, or time is up.
//!
//! It opens no port and no disk, and no process outlives it.

use std::path::Path;
use std::time::{Duration, Instant};

use host::command::Command;
use host::files::{self, Mode};
use model::{Error, ErrorClass, EventSink, Result};

use super::guest;
use crate::machine::ProbeMachine;
use crate::{Qemu, argv};

/// What the nonce begins with.
const NONCE: &str = "k3s-vm nonce ";
/// What QEMU says when it is ended at the deadline.
const ENDED_BY_US: &str = "terminating on signal";
/// How many of the last lines are kept.
const LINES: usize = 12;
/// How much later than this program timeout(1) ends a QEMU that this program could not end, being killed itself.
const AFTER_US: Duration = Duration::from_secs(30);

/// A run of the guest.
#[derive(Debug, Clone, Copy)]
pub struct Probe<'a> {
    /// The emulator.
    pub qemu: &'a Qemu,
    /// The machine.
    pub machine: ProbeMachine<'a>,
    /// How long the guest may take to print its line.
    pub deadline: Duration,
}

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The nonce, after this time.
    Printed(Duration),
    /// Nothing until the deadline; the last lines of console and QEMU.
    Silent(Vec<String>),
    /// QEMU ended before the nonce came; its last lines.
    Ended(Vec<String>),
}

impl Probe<'_> {
    /// Runs it.
    ///
    /// # Errors
    /// Interrupted, or a Host error where QEMU cannot be started or its files cannot be written.
    pub fn run(&self, events: &dyn EventSink) -> Result<Finding> {
        let directory = tempfile::tempdir()
            .map_err(|error| Error::new(ErrorClass::Host, "cannot make a temporary directory").because(error))?;
        let nonce = format!("{NONCE}{}", uuid::Uuid::new_v4());
        let initrd = directory.path().join(ProbeMachine::INITRD);
        files::write_atomic(&initrd, &guest::initrd(&nonce), Mode::Exactly(0o600))?;

        let begin = Instant::now();
        let (mut printed, mut lines) = (None, Vec::new());
        let ended = self.command(directory.path()).run_streaming(events, &mut |line| {
            if line.contains(&nonce) {
                printed.get_or_insert(begin.elapsed());
            } else if !line.trim().is_empty() && !line.contains(ENDED_BY_US) {
                // A guest may print for as long as it may run.
                if lines.len() == LINES {
                    lines.remove(0);
                }
                lines.push(line.trim().to_owned());
            }
        });
        if let Err(error) = &ended {
            // A process that could not be ended is named here.
            events.debug(error.to_string());
        }
        let name = self.machine.accelerator.name();
        match (printed, ended) {
            (_, Err(error)) if error.class() == ErrorClass::Interrupted => {
                Err(Error::new(ErrorClass::Interrupted, format!("interrupted while {name} was tested")))
            }
            (_, Err(error)) if !matches!(error.class(), ErrorClass::Timeout | ErrorClass::Failed) => Err(error),
            (Some(after), _) => Ok(Finding::Printed(after)),
            (None, Err(error)) if error.class() == ErrorClass::Timeout => Ok(Finding::Silent(lines)),
            (None, _) => Ok(Finding::Ended(lines)),
        }
    }

    fn command(&self, directory: &Path) -> Command {
        let program = &self.qemu.program;
        // A QEMU whose guest hangs ends by nobody but us. Should this very program be killed, timeout(1) is left.
        let command = match host::tools::find("timeout") {
            Some(timeout) => {
                let seconds = self.deadline.saturating_add(AFTER_US).as_secs().to_string();
                Command::new(timeout).args(["-s", "KILL", &seconds]).arg(program)
            }
            None => Command::new(program),
        };
        command.args(argv::probe_arguments(&self.machine)).current_dir(directory).alone().deadline(self.deadline)
    }
}
