//! The disk of a running VM: makes it the backing file of a new overlay, and shortens the chain of backing files.
//!
//! A backing file keeps its name, because overlays refer to it by name. A template has a hard link of its own to its disk
//! ([`crate::saved_state::NewSavedState::link_disk`]), so that the removal of another one does not remove the disk.

use std::path::{Path, PathBuf};
use std::time::Duration;

use host::files;
use host::io_error::at_path;
use model::{EventSink, Result};

use crate::qmp::Outcome;
use crate::steps::Steps;
use crate::stopped::StoppedGuest;
use crate::{Qmp, qcow2};

/// Makes the VM's `disk` the backing file `backing_file`, and `disk` a new overlay on it, to which the VM writes from now on.
/// The guest should have synced. Both paths are absolute and on one filesystem.
///
/// At any moment the VM can start from `disk` with all that it has written: the overlay gets that name before QEMU uses it.
/// Until this returns, `backing_file` may still be written to.
///
/// # Errors
/// Failed with QEMU's reason, Host when files cannot be created: then nothing has changed. Where QEMU does not say whether
/// it uses the overlay, the names stay: either way `disk` and its backing files are complete.
pub fn add_overlay(
    guest: &mut StoppedGuest<'_>,
    disk: &Path,
    backing_file: &Path,
    events: &dyn EventSink,
) -> Result<()> {
    let mut steps = Steps::begin("new overlay", events);
    let added = NewOverlay { disk, backing_file }.add(guest.qmp(), &mut steps);
    steps.done(if added.is_ok() { "overlay in use" } else { "overlay not in use" });
    added.map_err(|error| error.context(format!("no overlay was put on the disk {}", disk.display())))
}

/// Merges the layers between `disk`, the disk of a running VM, and `backing_file`, a file of its chain, into `disk`. The guest
/// runs on meanwhile and is paused for some milliseconds at the end. Until `disk` has everything, its chain is the old one,
/// also after a crash. The merged files are not changed.
///
/// # Errors
/// Failed with QEMU's reason, Guest when QEMU ends, Timeout, Interrupted; then the chain is the old one.
pub fn shorten(
    qmp: &mut Qmp,
    disk: &Path,
    backing_file: &Path,
    deadline: Duration,
    events: &dyn EventSink,
) -> Result<()> {
    let mut steps = Steps::begin("shorten the disk's chain", events);
    let done = qmp.cancel_stream().and_then(|()| qmp.stream_to(disk, backing_file, deadline, events));
    steps.done(if done.is_ok() { "layers merged" } else { "layers not merged" });
    done.map_err(|error| error.context("the disk's chain was not shortened"))
}

struct NewOverlay<'a> {
    disk: &'a Path,
    backing_file: &'a Path,
}

impl NewOverlay<'_> {
    fn add(&self, qmp: &mut Qmp, steps: &mut Steps<'_>) -> Result<()> {
        qmp.cancel_stream()?;
        let top = qmp.top_of_root_disk()?;
        std::fs::hard_link(self.disk, self.backing_file)
            .map_err(|error| at_path("create", self.backing_file, &error))?;
        let mut overlay = self.disk.as_os_str().to_owned();
        overlay.push(".overlay");
        let overlay = PathBuf::from(overlay);
        // A VM may get many overlays, and a node's name has at most 31 characters.
        let name = format!("disk-{:016x}", uuid::Uuid::new_v4().as_u64_pair().0);
        let made = files::remove(&overlay)
            .and_then(|()| qcow2::create_overlay(&overlay, self.backing_file, top.virtual_size))
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
            // To undo what QEMU has done would make it write to a file without a name, whose data are lost when it ends.
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

    /// Gives the disk its name again. Where it still has it, rename(2) leaves both names of the one file.
    fn undo(&self, overlay: &Path) {
        let _ = files::remove(overlay);
        let _ = files::rename(self.backing_file, self.disk);
        let _ = files::remove(self.backing_file);
    }
}
