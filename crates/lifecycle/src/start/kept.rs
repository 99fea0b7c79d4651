//! What is kept that a new instance would begin as, if it were made now.

use model::Result;
use qemu::Qemu;
use qemu::accelerator::Choice;

use super::{node_port, preparation};
use crate::accelerator;
use crate::context::Context;
use crate::desired::Desired;
use crate::launch::VmLaunch;
use crate::observe::Observed;
use crate::template::{self, Base, Kind};

/// The kept application, where it fits QEMU, the guest image and the configuration of now.
///
/// # Errors
/// Faults of the configuration, and of finding QEMU and the image.
pub(crate) fn application(context: &Context<'_>, desired: &Desired) -> Result<Option<Base>> {
    let Some(image) = preparation::configured_image(context)? else { return Ok(None) };
    let choice = if accelerator::is_open(context, &Observed::Absent) {
        accelerator::choose(context, &image)?.into_value()
    } else {
        Choice::ordered_tcg()
    };
    let qemu = Qemu::find(&context.cache, context.events)?;
    let node_port = node_port(context, desired)?;
    let vm = VmLaunch { context, image: &image, qemu: &qemu, choice: &choice, node_port };
    Ok(template::find(context, Kind::Applied, &vm.ingredients()?, image.manifest.certificate_days).ok())
}
