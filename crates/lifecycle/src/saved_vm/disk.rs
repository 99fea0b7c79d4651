//! The instance's disk: an overlay on the guest image that it was made from, perhaps with backing files between.

use std::path::Path;

use model::guest_image::GuestImage;
use model::paths::InstancePaths;
use model::{Error, ErrorClass, Result};
use qemu::qcow2;

use crate::context::Context;
use crate::instance::launch_error;
use crate::saved_vm::backing_files::{BackingFiles, shorten_stopped};

/// Makes the instance's disk, whole or not at all.
///
/// # Errors
/// An error that names the path, and says where the filesystem is full.
pub(crate) fn make(paths: &InstancePaths, image: &GuestImage) -> Result<()> {
    let base = image.root_disk();
    qcow2::header(&base)
        .and_then(|header| qcow2::create_overlay(&paths.disk(), &base, header.virtual_size))
        .map_err(|error| launch_error::without_space(&paths.vm_dir(), error))
}

/// Prepares the disk of a VM that does not run for a start: its chain names the backing files where the project is now, and
/// is not too long.
///
/// # Errors
/// State when a backing file is gone; an error that names a disk that cannot be written.
pub(crate) fn prepare(context: &Context<'_>) -> Result<()> {
    let (backing_files, disk) = (BackingFiles::of_project(&context.project), context.paths().disk());
    if backing_files.depth(&disk)? == 1 {
        return Ok(());
    }
    if backing_files.lock(context.events)?.mend(&disk)? > 0 {
        context.events.debug("the project has moved: the names of its backing files were changed".to_owned());
    }
    // A longer chain is slower, but works.
    match shorten_stopped(&backing_files, &disk, context.project.config.timeouts.disk) {
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
    let root_disk = BackingFiles::of_project(&context.project).chain(&disk)?.image;
    let directory = root_disk.as_deref().and_then(Path::parent);
    let directory = directory.ok_or_else(|| gone("the disk names no image".to_owned()))?;
    let image = guest_image::open(directory, &context.cache).map_err(|error| gone(error.to_string()))?;
    check_image(context, &image, &disk.display().to_string())?;
    Ok(image)
}

/// Checks that the image under `what`, a disk or a saved VM, is unchanged. It is never rebuilt under them: a disk cannot be
/// read without the very bytes that it was made on.
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
