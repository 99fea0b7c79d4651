//! The self-test of KVM: it looks at the device, then at the cached verdict, then runs a guest.

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

/// The name of the task in progress events.
const TASK: &str = "testing KVM";
/// How much longer than its own deadline a test waits for the test of another start.
const LOCK_SLACK: Duration = Duration::from_secs(60);

/// What to test.
#[derive(Debug, Clone, Copy)]
pub struct SelfTest<'a> {
    /// The emulator.
    pub qemu: &'a Qemu,
    /// The device, `/dev/kvm`.
    pub device: &'a Path,
    /// Virtual CPUs of the VM.
    pub cpus: u32,
    /// The VM's kernel.
    pub kernel: &'a Path,
    /// The VM's kernel command line.
    pub kernel_command_line: &'a str,
    /// How long the guest may take to print its line.
    pub deadline: Duration,
    /// The cache, which has the verdicts.
    pub cache: &'a CachePaths,
}

/// The source of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The device does not open.
    Device,
    /// A guest was run.
    Guest,
    /// The cached verdict of a guest that ran since the host booted.
    Verdict,
}

/// The result of the self-test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tested {
    /// Why KVM cannot be used; `None` where it can.
    pub refusal: Option<Refusal>,
    /// The source.
    pub source: Source,
}

impl SelfTest<'_> {
    /// Tests KVM. With `again`, it ignores a cached verdict that KVM does not work.
    ///
    /// The device is checked every time: a user can join a group and load a module without a reboot.
    ///
    /// # Errors
    /// Interrupted, or an error of starting QEMU or of the cache's files.
    pub fn run(&self, again: bool, events: &dyn EventSink) -> Result<Tested> {
        if let Some(known) = self.known(again)? {
            return Ok(known);
        }
        let probe = self.probe();
        let subject = Subject::of(&probe)?;
        let lock = self.cache.accelerator_lock();
        let _lock = FileLock::acquire(&lock, "the test of KVM", self.deadline.saturating_add(LOCK_SLACK), events)?;
        // Another start may have tested meanwhile.
        if let Some(cached) = self.cached(&subject, again) {
            return Ok(cached);
        }
        let limit = humantime::format_duration(self.deadline);
        events.progress(TASK, format!("a guest is to print a line within {limit}"));
        let finding = probe.run(events);
        events.emit(Event::TaskFinished { task: TASK.to_owned() });
        let refusal = self.read(finding?, events);
        match &refusal {
            None => verdicts::save(&self.cache.accelerator_verdicts(), &subject, &Verdict::Works)?,
            Some(refusal) if refusal.is_lasting() => {
                let verdict = Verdict::Refused(refusal.clone());
                verdicts::save(&self.cache.accelerator_verdicts(), &subject, &verdict)?;
            }
            Some(_) => {}
        }
        Ok(Tested { refusal, source: Source::Guest })
    }

    /// What is known without a test: from the device, or from a verdict of this boot of the host.
    ///
    /// # Errors
    /// An error when QEMU or the kernel cannot be looked at.
    pub fn known(&self, again: bool) -> Result<Option<Tested>> {
        if let Some(refusal) = device::look(self.device) {
            return Ok(Some(Tested { refusal: Some(refusal), source: Source::Device }));
        }
        Ok(self.cached(&Subject::of(&self.probe())?, again))
    }

    fn probe(&self) -> Probe<'_> {
        let machine = ProbeMachine {
            version: self.qemu.version,
            sandbox: self.qemu.sandbox,
            accelerator: Accelerator::Kvm,
            cpus: self.cpus,
            kernel: self.kernel,
            kernel_command_line: self.kernel_command_line,
        };
        Probe { qemu: self.qemu, machine, deadline: self.deadline }
    }

    fn cached(&self, subject: &Subject, again: bool) -> Option<Tested> {
        let refusal = match verdicts::find(&self.cache.accelerator_verdicts(), subject)? {
            Verdict::Works => None,
            Verdict::Refused(_) if again => return None,
            // With a longer deadline the guest may print its line.
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
            // After an internal error of KVM the guest is stopped, but QEMU runs on.
            Finding::Silent(console) => match console.iter().find(|line| line.contains("KVM internal error")) {
                Some(line) => Some(Refusal::Dies { words: line.clone(), console }),
                None => Some(Refusal::Hangs { waited: self.deadline, console }),
            },
            Finding::Ended(console) => Some(Refusal::Dies { words: last_words::of(&console), console }),
        }
    }
}
