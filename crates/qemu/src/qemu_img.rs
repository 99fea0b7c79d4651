//! Disk images through `qemu-img`. Paths are made absolute: qemu-img takes a relative one with a colon for a protocol.

use std::path::{Path, PathBuf};
use std::time::Duration;

use host::command::Command;
use model::{Error, ErrorClass, Result};

use crate::version::QEMU_IMG;

/// Merges the layers between a qcow2 image that no QEMU uses and `backing_file`, a qcow2 file of its chain, into the image.
/// The chain becomes shorter, the content stays. The merged files are not changed.
///
/// # Errors
/// Failed with the end of qemu-img's stderr; Host when there is no qemu-img; Timeout after `deadline`.
pub fn rebase(image: &Path, backing_file: &Path, deadline: Duration) -> Result<()> {
    let command = qemu_img()?
        .args(["rebase", "-q", "-f", "qcow2", "-F", "qcow2", "-b"])
        .arg(absolute(backing_file)?)
        .arg(absolute(image)?)
        .deadline(deadline);
    command.run().map(drop).map_err(|error| error.context(format!("cannot shorten the disk {}", image.display())))
}

fn qemu_img() -> Result<Command> {
    match host::tools::find(QEMU_IMG.program) {
        Some(program) => Ok(Command::new(program)),
        None => Err(Error::new(ErrorClass::Host, format!("{} is not installed", QEMU_IMG.program))
            .because(format!("it {}", QEMU_IMG.purpose))
            .next("k3s-vm --yes    # installs it")
            .next(format!("apt-get install {}", QEMU_IMG.apt))),
    }
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path)
        .map_err(|error| Error::new(ErrorClass::Failed, format!("{} is no path", path.display())).because(error))
}
