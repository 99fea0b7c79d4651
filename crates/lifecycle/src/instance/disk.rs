//! The instance's disk: an overlay on the guest image that it was made from, perhaps with frozen disks between.

use std::path::Path;

use model::guest_image::GuestImage;
use model::paths::InstancePaths;
use model::{Error, ErrorClass, Result};
use qemu::qcow2;

use crate::context::Context;
use crate::instance::launch_error;
use crate::saved_vm::backing_files::shorten_stopped;

/// Makes the instance's disk, whole or not at all: what lies under its name is the truth.
///
/// # Errors
/// An error that names the path, and that there is no space.
pub(crate) fn make(paths: &InstancePaths, image: &GuestImage) -> Result<()> {
    let base = image.root_disk();
    qcow2::header(&base)
        .and_then(|header| qcow2::create_overlay(&paths.disk(), &base, header.virtual_size))
        .map_err(|error| launch_error::without_space(&paths.vm_dir(), error))
}

/// Makes the disk of a VM that does not run ready for a start: its bases have the names that they have where the project
/// is now, and they are not too many.
///
/// # Errors
/// State when a frozen disk is gone; an error that names a disk that cannot be written.
pub(crate) fn settle(context: &Context<'_>) -> Result<()> {
    let (pool, disk) = (context.pool(), context.paths().disk());
    if pool.depth(&disk)? == 1 {
        return Ok(());
    }
    if pool.lock(context.events)?.mend(&disk)? > 0 {
        context.events.debug("the project has moved: the disk names its bases anew".to_owned());
    }
    // A longer chain is slower, not wrong.
    match shorten_stopped(&pool, &disk, context.project.config.timeouts.disk) {
        Err(error) if error.class() == ErrorClass::Interrupted => Err(error),
        Err(error) => {
            context.events.warning(error.to_string());
            Ok(())
        }
        Ok(_) => Ok(()),
    }
}

/// The image under the instance's disk.
///
/// # Errors
/// A State error when the image, or a disk above it, is gone: the disk cannot be read without them.
pub(crate) fn guest_image(context: &Context<'_>) -> Result<GuestImage> {
    let disk = context.paths().disk();
    let gone = |why: String| {
        Error::new(ErrorClass::State, format!("the guest image under {} is gone", disk.display()))
            .because(why)
            .next("k3s-vm reset    # makes a new disk; data on the old one cannot be read without its image")
    };
    let root_disk = context.pool().chain(&disk)?.image;
    let directory = root_disk.as_deref().and_then(Path::parent);
    let directory = directory.ok_or_else(|| gone("the disk names no image".to_owned()))?;
    let image = guest_image::open(directory, &context.cache).map_err(|error| gone(error.to_string()))?;
    check_image(context, &image, &disk.display().to_string())?;
    Ok(image)
}

/// Looks whether the image under `what`, a disk or a saved VM, is what it was. It is never built anew under them: a disk
/// is unreadable without the very bytes that it was made on.
///
/// # Errors
/// A State error where it is damaged.
pub(crate) fn check_image(context: &Context<'_>, image: &GuestImage, what: &str) -> Result<()> {
    guest_image::check(image, &context.cache).map_err(|why| {
        let directory = image.directory.display();
        Error::new(ErrorClass::State, format!("the guest image {directory} under {what} is damaged"))
            .because(why)
            .because("what was written to the disk is there, but parts of it may be unreadable with this image")
            .next(format!("restore {directory} from a backup, or copy it from a machine that has the same image"))
            .next(format!(
                "{}    # makes a new disk on a whole image; data on the old one are lost",
                context.command("reset")
            ))
    })
}
