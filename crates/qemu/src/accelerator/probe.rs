//! Runs the guest that tests an accelerator until it has printed its nonce, QEMU has ended, or the deadline has passed.
//!
//! It opens no port and no disk, and leaves no process.

use std::path::Path;
use std::time::{Duration, Instant};

use host::command::Command;
use host::files::{self, Mode};
use model::{Error, ErrorClass, EventSink, Result};

use super::guest;
use crate::machine::ProbeMachine;
use crate::{Qemu, argv};

/// The beginning of the nonce.
const NONCE: &str = "k3s-vm nonce ";
/// What QEMU prints when it is ended at the deadline.
const ENDED_BY_US: &str = "terminating on signal";
/// How many of the last lines a finding has.
const LINES: usize = 12;
/// How long after the deadline timeout(1) ends a QEMU whose parent, this program, was killed.
const AFTER_US: Duration = Duration::from_secs(30);

/// A test of an accelerator.
#[derive(Debug, Clone, Copy)]
pub struct Probe<'a> {
    /// The emulator.
    pub qemu: &'a Qemu,
    /// The machine.
    pub machine: ProbeMachine<'a>,
    /// How long the guest may take to print its line.
    pub deadline: Duration,
}

/// The result of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The guest printed the nonce after this time.
    Printed(Duration),
    /// The guest did not print the nonce before the deadline; the last lines of its console and of QEMU.
    Silent(Vec<String>),
    /// QEMU ended before the nonce was printed; its last lines.
    Ended(Vec<String>),
}

impl Probe<'_> {
    /// Runs the guest.
    ///
    /// # Errors
    /// Interrupted; Host when QEMU cannot be started or its files cannot be written.
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
                // A guest may print without end.
                if lines.len() == LINES {
                    lines.remove(0);
                }
                lines.push(line.trim().to_owned());
            }
        });
        if let Err(error) = &ended {
            // It names a process that could not be ended.
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
        // A QEMU whose guest hangs does not end by itself. timeout(1) ends it where this program was killed.
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
