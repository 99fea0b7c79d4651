//! The instance's disk: an overlay on the guest image that it was made from.

use std::path::Path;

use host::files;
use model::guest_image::GuestImage;
use model::paths::InstancePaths;
use model::{Fault, FaultClass, Result};
use qemu::qemu_img;

use crate::context::Context;
use crate::launch_fault;

/// Makes the instance's disk, whole or not at all: what lies under its name is the truth.
///
/// # Errors
/// Those of qemu-img, and that there is no space.
pub(crate) fn make(paths: &InstancePaths, image: &GuestImage) -> Result<()> {
    let made = qemu_img::create_overlay(&paths.partial_disk(), &image.root_disk(), "qcow2", None);
    if let Err(fault) = made {
        let fault = launch_fault::without_space(&paths.vm_dir(), fault);
        // The first fault is the one to tell.
        let _ = files::remove(&paths.partial_disk());
        return Err(fault);
    }
    files::rename(&paths.partial_disk(), &paths.disk())
}

/// The image that the instance's disk is an overlay of.
///
/// # Errors
/// A State fault when the image is gone: the disk cannot be read without it.
pub(crate) fn guest_image(context: &Context<'_>) -> Result<GuestImage> {
    let paths = context.paths();
    let info = qemu_img::info(&paths.disk())?;
    let folder = info.backing_file.as_deref().and_then(Path::parent).map(Path::to_path_buf);
    let gone = |why: String| {
        Fault::new(FaultClass::State, format!("the guest image under {} is gone", paths.disk().display()))
            .because(why)
            .next("k3s-vm reset    # makes a new disk; data on the old one cannot be read without its image")
    };
    let folder = folder.ok_or_else(|| gone("the disk names no image".to_owned()))?;
    image::open(&folder, &context.cache).map_err(|fault| gone(fault.to_string()))
}
