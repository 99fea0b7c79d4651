//! What QEMU took and let go on from RAM, and what then does not answer: it is given up, and its disk or a new one is
//! booted, with one line that says why.

use host::files;
use model::Result;
use qemu::power::Ladder;

use super::begin::{Begin, Begun, From};
use super::phase_count::{BOOTING, NEW, SNAPSHOT_DISK};
use crate::observe::Running;
use crate::phases::Phases;
use crate::stop;
use crate::template::{self, Base};

impl Begin<'_> {
    /// Boots what has gone on from RAM and does not answer: a new disk, the disk, or that of the snapshot.
    pub(super) fn instead(
        &self,
        running: &Running,
        from: From,
        base: Option<&Base>,
        why: &str,
        phases: &mut Phases<'_>,
    ) -> Result<Begun> {
        let (paths, events) = (self.context.paths(), self.context.events);
        // What it has written to a disk that is kept, it may still get there.
        let ladder = match from {
            From::SuspendedRam => Ladder::with_clean(self.context.project.config.timeouts.stop),
            _ => Ladder::hard(),
        };
        stop::end(&running.process, &paths, &ladder, events)?;
        let vm = self.vm(self.qemu()?);
        match (from, base) {
            (From::Snapshot, Some(base)) => {
                phases.expect(SNAPSHOT_DISK);
                self.snapshot_disk(&vm, base, why, phases)
            }
            (From::Template, Some(base)) => {
                events.warning(format!("the kept cluster is not used: {why}; booting a new one"));
                // Nor by the next reset.
                if let Err(fault) = template::discard(self.context, base.template.paths().dir(), template::PATIENCE) {
                    events.warning(fault.to_string());
                }
                files::remove(&paths.disk())?;
                phases.expect(NEW);
                phases.run("Starting the VM", || self.boot(&vm, true))
            }
            _ => {
                events.warning(format!("the suspended RAM is not used: {why}; booting from the disk"));
                phases.expect(BOOTING);
                phases.run("Starting the VM", || self.boot(&vm, false))
            }
        }
    }
}
