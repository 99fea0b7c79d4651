//! What QEMU took and let go on from RAM, and what then does not answer: it is given up, and its disk or a new one is
//! booted, with one line that says why.

use host::files;
use model::Result;
use qemu::power::Escalation;

use super::begin::{Begin, Begun, From};
use super::step_count::{BOOTING, NEW, SNAPSHOT_DISK};
use crate::instance::observe::Running;
use crate::instance::shutdown;
use crate::saved_vm::{PATIENCE, SavedVm, discard};
use crate::steps::Steps;

impl Begin<'_> {
    /// Boots what has gone on from RAM and does not answer: a new disk, the disk, or that of the snapshot.
    pub(super) fn instead(
        &self,
        running: &Running,
        from: From,
        saved_vm: Option<&SavedVm>,
        why: &str,
        steps: &mut Steps<'_>,
    ) -> Result<Begun> {
        let (paths, events) = (self.context.paths(), self.context.events);
        // What it has written to a disk that is kept, it may still get there.
        let escalation = match from {
            From::SuspendedRam => Escalation::with_clean(self.context.project.config.timeouts.stop),
            _ => Escalation::hard(),
        };
        shutdown::end(&running.process, &paths, &escalation, events)?;
        let vm = self.vm(self.qemu()?);
        match (from, saved_vm) {
            (From::Snapshot, Some(saved_vm)) => {
                steps.expect(SNAPSHOT_DISK);
                self.snapshot_disk(&vm, saved_vm, why, steps)
            }
            (From::Template, Some(saved_vm)) => {
                events.warning(format!("the kept cluster is not used: {why}; booting a new one"));
                // Nor by the next reset.
                if let Err(error) = discard(saved_vm.saved_state.paths().dir(), PATIENCE, events) {
                    events.warning(error.to_string());
                }
                files::remove(&paths.disk())?;
                steps.expect(NEW);
                steps.run("Starting the VM", || self.boot(&vm, true))
            }
            _ => {
                events.warning(format!("the suspended RAM is not used: {why}; booting from the disk"));
                steps.expect(BOOTING);
                steps.run("Starting the VM", || self.boot(&vm, false))
            }
        }
    }
}
