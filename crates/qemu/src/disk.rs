//! Freezes the disk of a VM: what it has written so far becomes a read-only base, an overlay takes the rest.
//!
//! The base gets a name that it keeps, since overlays find it by that. Templates hold it by a hard link of their own
//! ([`crate::saved_state::NewSavedState::link_disk`]), so that no removal of one takes the disk from another.

use std::path::{Path, PathBuf};
use std::time::Duration;

use host::files;
use host::io_error::at_path;
use model::{EventSink, Result};

use crate::qmp::Outcome;
use crate::steps::Steps;
use crate::stopped::StoppedGuest;
use crate::{Qmp, qcow2};

/// Makes `frozen` the name of what the VM's `disk` holds now, and `disk` a new overlay on it, into which the VM writes from
/// now on. The guest should have synced. Both names are absolute and of one filesystem.
///
/// At any moment `disk` is one from which the VM can start, with all that it has written: the overlay takes its name
/// before QEMU uses it. Until this returns, `frozen` may still be written to.
///
/// # Errors
/// Failed with QEMU's reason, Host when files cannot be made: then all is as it was. Where QEMU does not tell whether it
/// uses the overlay, the names stay: `disk` and what it is made of have everything either way.
pub fn freeze(guest: &mut StoppedGuest<'_>, disk: &Path, frozen: &Path, events: &dyn EventSink) -> Result<()> {
    let mut steps = Steps::begin("freeze the disk", events);
    let told = format!("the disk {} was not frozen", disk.display());
    let qmp = guest.qmp();
    let frozen_disk = Freeze { disk, frozen }.run(qmp, &mut steps);
    steps.done(if frozen_disk.is_ok() { "overlay in use" } else { "overlay not in use" });
    frozen_disk.map_err(|error| error.context(told))
}

/// Puts `disk`, that of a running VM, onto `base`, a disk of its chain, by taking over what lies between. The guest goes on
/// meanwhile, and stands still for some milliseconds at the end. Whatever is killed at whatever moment: the disk is made of its old chain until it has everything. What lay
/// between is not touched.
///
/// # Errors
/// Failed with QEMU's reason, Guest when QEMU ends, Timeout, Interrupted; the chain is the old one then.
pub fn shorten(qmp: &mut Qmp, disk: &Path, base: &Path, deadline: Duration, events: &dyn EventSink) -> Result<()> {
    let mut steps = Steps::begin("shorten the disk", events);
    let done = qmp.cancel_stream().and_then(|()| qmp.stream_to(disk, base, deadline, events));
    steps.done(if done.is_ok() { "layers merged" } else { "layers not merged" });
    done.map_err(|error| error.context("the disk's chain was not shortened"))
}

struct Freeze<'a> {
    disk: &'a Path,
    frozen: &'a Path,
}

impl Freeze<'_> {
    fn run(&self, qmp: &mut Qmp, steps: &mut Steps<'_>) -> Result<()> {
        qmp.cancel_stream()?;
        let top = qmp.top_of_root_disk()?;
        std::fs::hard_link(self.disk, self.frozen).map_err(|error| at_path("create", self.frozen, &error))?;
        let mut overlay = self.disk.as_os_str().to_owned();
        overlay.push(".overlay");
        let overlay = PathBuf::from(overlay);
        // A VM may be frozen many times, and a node's name has at most 31 characters.
        let name = format!("disk-{:016x}", uuid::Uuid::new_v4().as_u64_pair().0);
        let made = files::remove(&overlay)
            .and_then(|()| qcow2::create_overlay(&overlay, self.frozen, top.virtual_size))
            .and_then(|()| {
                steps.done("overlay made");
                qmp.open_overlay(&name, &overlay)
            })
            .and_then(|()| files::rename(&overlay, self.disk));
        if let Err(error) = made {
            qmp.close_node(&name);
            self.undo(&overlay);
            return Err(error);
        }
        match qmp.put_on_top(&top.name, &name) {
            Outcome::Done => Ok(()),
            Outcome::Refused(error) => {
                qmp.close_node(&name);
                self.undo(&overlay);
                Err(error)
            }
            // To undo what QEMU has done would let it write into a file without a name, which is gone with it.
            Outcome::Unknown(error) => match qmp.top_of_root_disk() {
                Ok(now) if now.name == name => Ok(()),
                Ok(now) if now.name == top.name => {
                    qmp.close_node(&name);
                    self.undo(&overlay);
                    Err(error)
                }
                _ => Err(error.because(
                    "QEMU does not tell which disk it writes to; the disk on the host is complete either way",
                )),
            },
        }
    }

    /// The disk gets its name again; where it still has it, the two names of one file stay (rename(2)).
    fn undo(&self, overlay: &Path) {
        let _ = files::remove(overlay);
        let _ = files::rename(self.frozen, self.disk);
        let _ = files::remove(self.frozen);
    }
}
