//! The self-test of KVM: the device, then the kept verdict, then a guest.

use std::path::Path;
use std::time::Duration;

use host::lock::FileLock;
use model::paths::CachePaths;
use model::{Event, EventSink, Result};

use super::device;
use super::probe::{Finding, Probe};
use super::refusal::Refusal;
use super::verdicts::{self, Subject, Verdict};
use crate::machine::{Accelerator, ProbeMachine};
use crate::{Qemu, last_words};

/// The task under which progress is told.
const TASK: &str = "testing KVM";
/// How much longer than its own test a start waits for that of another one.
const LOCK_SLACK: Duration = Duration::from_secs(60);

/// What is to be tested.
#[derive(Debug, Clone, Copy)]
pub struct SelfTest<'a> {
    /// The emulator.
    pub qemu: &'a Qemu,
    /// `/dev/kvm`.
    pub device: &'a Path,
    /// Virtual CPUs of the VM.
    pub cpus: u32,
    /// The VM's kernel.
    pub kernel: &'a Path,
    /// The VM's kernel command line.
    pub kernel_command_line: &'a str,
    /// How long the guest may take to print its line.
    pub deadline: Duration,
    /// Where verdicts are kept.
    pub cache: &'a CachePaths,
}

/// Where the knowledge is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The device, looked at now.
    Device,
    /// A guest that ran now.
    Guest,
    /// A guest that ran before, in this boot of the host.
    Verdict,
}

/// The result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tested {
    /// Why KVM cannot be used; nothing where it can.
    pub refusal: Option<Refusal>,
    /// Where this is from.
    pub source: Source,
}

impl SelfTest<'_> {
    /// Tests. With `again`, a kept verdict that KVM does not work is not believed but tested again.
    ///
    /// The device is looked at every time, since a user joins a group and a module is loaded without a reboot.
    ///
    /// # Errors
    /// Interrupted, or an error of starting QEMU or of the cache's files.
    pub fn run(&self, again: bool, events: &dyn EventSink) -> Result<Tested> {
        if let Some(refusal) = device::look(self.device) {
            return Ok(Tested { refusal: Some(refusal), source: Source::Device });
        }
        let machine = ProbeMachine {
            version: self.qemu.version,
            sandbox: self.qemu.sandbox,
            accelerator: Accelerator::Kvm,
            cpus: self.cpus,
            kernel: self.kernel,
            kernel_command_line: self.kernel_command_line,
        };
        let probe = Probe { qemu: self.qemu, machine, deadline: self.deadline };
        let subject = Subject::of(&probe)?;
        if let Some(kept) = self.kept(&subject, again) {
            return Ok(kept);
        }
        let lock = self.cache.accelerator_lock();
        let _lock = FileLock::acquire(&lock, "the test of KVM", self.deadline.saturating_add(LOCK_SLACK), events)?;
        // Another start may have tested meanwhile.
        if let Some(kept) = self.kept(&subject, again) {
            return Ok(kept);
        }
        let limit = humantime::format_duration(self.deadline);
        events.progress(TASK, format!("a guest is to print a line within {limit}"));
        let finding = probe.run(events);
        events.emit(Event::TaskFinished { task: TASK.to_owned() });
        let refusal = self.read(finding?, events);
        match &refusal {
            None => verdicts::keep(&self.cache.accelerator_verdicts(), &subject, &Verdict::Works)?,
            Some(refusal) if refusal.is_lasting() => {
                let verdict = Verdict::Refused(refusal.clone());
                verdicts::keep(&self.cache.accelerator_verdicts(), &subject, &verdict)?;
            }
            Some(_) => {}
        }
        Ok(Tested { refusal, source: Source::Guest })
    }

    fn kept(&self, subject: &Subject, again: bool) -> Option<Tested> {
        let refusal = match verdicts::find(&self.cache.accelerator_verdicts(), subject)? {
            Verdict::Works => None,
            Verdict::Refused(_) if again => return None,
            // Who waits longer than before wants to know what a longer wait shows.
            Verdict::Refused(Refusal::Hangs { waited, .. }) if waited < self.deadline => return None,
            Verdict::Refused(refusal) => Some(refusal),
        };
        Some(Tested { refusal, source: Source::Verdict })
    }

    fn read(&self, finding: Finding, events: &dyn EventSink) -> Option<Refusal> {
        match finding {
            Finding::Printed(after) => {
                events.debug(format!("the guest printed its line after {} ms", after.as_millis()));
                None
            }
            // KVM's own error stops the guest and leaves QEMU running.
            Finding::Silent(console) => match console.iter().find(|line| line.contains("KVM internal error")) {
                Some(line) => Some(Refusal::Dies { words: line.clone(), console }),
                None => Some(Refusal::Hangs { waited: self.deadline, console }),
            },
            Finding::Ended(console) => Some(Refusal::Dies { words: last_words::of(&console), console }),
        }
    }
}
