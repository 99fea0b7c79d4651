//! Freezes the disk of a running VM: what it has written so far becomes a read-only base, an overlay takes the rest.

use std::path::Path;

use host::files;
use host::io_fault::at_path;
use model::{EventSink, Result};

use crate::steps::Steps;
use crate::{Qmp, qemu_img};

/// Makes `frozen` the name of what the VM's `disk` holds now, and `disk` a new overlay on it, into which the VM writes
/// from now on. The guest should stand still and have synced. All three names are absolute and of one filesystem.
///
/// At any moment of it `disk` is a disk from which the VM can start, with everything that it has written: the overlay
/// takes its name before QEMU uses it. Until this returns, `frozen` may still be written to.
///
/// # Errors
/// Failed with QEMU's or qemu-img's reason, Host when files cannot be made; then the VM writes where it wrote before.
pub fn freeze(qmp: &mut Qmp, disk: &Path, frozen: &Path, events: &dyn EventSink) -> Result<()> {
    let mut steps = Steps::begin("freeze the disk", events);
    let top = qmp.top_of_root_disk()?;
    std::fs::hard_link(disk, frozen).map_err(|error| at_path("create", frozen, &error))?;
    let mut overlay = disk.as_os_str().to_owned();
    overlay.push(".overlay");
    let overlay = Path::new(&overlay);
    let done = files::remove(overlay)
        .and_then(|()| qemu_img::create_overlay_of_busy(overlay, frozen, top.virtual_size))
        .and_then(|()| {
            steps.done("overlay made");
            // A VM may be frozen many times, and a node's name has at most 31 characters.
            let name = format!("disk-{:016x}", uuid::Uuid::new_v4().as_u64_pair().0);
            qmp.open_overlay(&name, overlay)?;
            let put = files::rename(overlay, disk).and_then(|()| qmp.put_on_top(&top.name, &name));
            if put.is_err() {
                let _ = qmp.close_node(&name);
            }
            put
        });
    match done {
        Ok(()) => {
            steps.done("overlay in use");
            Ok(())
        }
        Err(fault) => {
            // The name is given back: the VM's disk is the file that it always was.
            let _ = files::remove(overlay);
            let _ = files::rename(frozen, disk);
            // Two names of one file are not renamed onto each other (rename(2)).
            let _ = files::remove(frozen);
            Err(fault.context(format!("the disk {} was not frozen", disk.display())))
        }
    }
}
