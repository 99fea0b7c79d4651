//! What a start needs before there is a VM: tools of the host, a guest image, and the kept application where it fits.

use guest_image::ImageRequest;
use model::Result;
use model::guest_image::GuestImage;
use model::requirement::Requirement;
use qemu::Qemu;
use qemu::accelerator::Choice;

use super::node_port;
use crate::context::Context;
use crate::instance::accelerator;
use crate::instance::disk;
use crate::instance::image_users::{self, Held};
use crate::instance::launch::VmLaunch;
use crate::instance::observe::Observed;
use crate::packages;
use crate::project::desired::Desired;
use crate::saved_vm::SavedVm;
use crate::saved_vm::template::{self, Kind};
use crate::steps::Outcome;

/// ssh and the tool that makes its keys.
const SSH: [Requirement; 2] = [
    Requirement {
        program: "ssh",
        apt: "openssh-client",
        dnf: "openssh-clients",
        pacman: "openssh",
        purpose: "opens a shell in the VM",
    },
    Requirement {
        program: "ssh-keygen",
        apt: "openssh-client",
        dnf: "openssh-clients",
        pacman: "openssh",
        purpose: "makes the VM's keys",
    },
];

/// Installs what the rest of the verb needs.
pub(super) fn check_host(context: &Context<'_>, observed: &Observed, rebuild: bool) -> Result<Outcome<()>> {
    let mut requirements: Vec<Requirement> = SSH.to_vec();
    if !matches!(observed, Observed::Running(_)) {
        requirements.extend([qemu::version::QEMU_SYSTEM, qemu::version::QEMU_IMG]);
    }
    if matches!(observed, Observed::Absent) {
        requirements.extend(guest_image::requirements(&image_request(context), rebuild)?);
    }
    packages::ensure(&requirements, context.project.config.timeouts.install, context.consent, context.events)?;
    Ok(Outcome::Done((), "all tools are there".to_owned()))
}

/// The image that a new instance would have, where it is there.
///
/// # Errors
/// Config errors; where a release of K3s is needed, that it cannot be had.
pub(crate) fn configured_image(context: &Context<'_>) -> Result<Option<GuestImage>> {
    guest_image::locate(&image_request(context))
}

fn image_request<'a>(context: &'a Context<'_>) -> ImageRequest<'a> {
    ImageRequest {
        config: &context.project.config.image,
        k3s: &context.project.config.k3s,
        project: context.project.paths.root(),
        sources: &context.guest_sources,
        cache: &context.cache,
        deadline: context.project.config.timeouts.build,
        consent: context.consent,
        events: context.events,
    }
}

/// The image of the instance, which nobody removes as long as [`Held`] lives; with what of the configuration it does not
/// heed.
pub(super) fn guest_image(
    context: &Context<'_>,
    observed: &Observed,
    rebuild: bool,
    saved: Option<&SavedVm>,
) -> Result<Outcome<(GuestImage, Held)>> {
    loop {
        let chosen = image_of(context, observed, rebuild, saved)?;
        let (Outcome::Done(image, _) | Outcome::Skipped(image, _)) = &chosen;
        // Where it was removed a moment ago, another one is found or built, or that is the error.
        let Some(held) = image_users::hold(context, image)? else { continue };
        if image.manifest.distribution == "k3s" {
            context.project.config.k3s.unknown_components().into_iter().for_each(|line| context.events.warning(line));
        }
        return Ok(match chosen {
            Outcome::Done(image, fact) => Outcome::Done((image, held), fact),
            Outcome::Skipped(image, fact) => Outcome::Skipped((image, held), fact),
        });
    }
}

/// The image of the instance: that of its disk where there is one, since a disk and its kernel belong together; the
/// configured one for a new disk.
fn image_of(
    context: &Context<'_>,
    observed: &Observed,
    rebuild: bool,
    saved: Option<&SavedVm>,
) -> Result<Outcome<GuestImage>> {
    if let Some(saved_vm) = saved {
        let image = guest_image::open(&saved_vm.cluster.image_directory, &context.cache)?;
        disk::check_image(context, &image, "the saved VM")?;
        let fact = format!("{}, as the saved VM has it", image.describe());
        return Ok(Outcome::Skipped(image, fact));
    }
    let request = image_request(context);
    let image = match observed {
        Observed::Absent if rebuild => {
            let image = guest_image::rebuild(&request)?;
            let fact = format!("{}, built anew", image.describe());
            return Ok(Outcome::Done(image, fact));
        }
        Observed::Absent => {
            let known = guest_image::locate(&request)?;
            let was_there = known.is_some();
            let image = known.map_or_else(|| guest_image::ensure(&request), Ok)?;
            let fact = image.describe();
            return Ok(if was_there {
                Outcome::Skipped(image, format!("{fact}, built before"))
            } else {
                Outcome::Done(image, fact)
            });
        }
        Observed::Running(running) => guest_image::open(&running.state_file.image_directory, &context.cache)?,
        Observed::Stopped | Observed::Orphan(_) => disk::guest_image(context)?,
    };
    let image = match guest_image::locate(&request) {
        // The same, with the reason for its distribution.
        Ok(Some(configured)) if configured.fingerprint == image.fingerprint => configured,
        Ok(_) => {
            context.events.note(format!(
                "the guest image has changed since this instance's disk was made; `{}` makes a new disk from it",
                context.command("reset")
            ));
            image
        }
        // What a new disk would need is no obstacle for the one that is there.
        Err(error) => {
            context.events.warning(format!("the next `{}` will fail: {error}", context.command("reset")));
            image
        }
    };
    let fact = format!("{}, as the instance's disk has it", image.describe());
    Ok(Outcome::Skipped(image, fact))
}

/// The kept application, where it fits QEMU, the guest image and the configuration of now.
///
/// # Errors
/// Errors of the configuration, and of finding QEMU and the image.
pub(crate) fn kept_application(context: &Context<'_>, desired: &Desired) -> Result<Option<SavedVm>> {
    let Some(image) = configured_image(context)? else { return Ok(None) };
    let choice = if accelerator::is_open(context, &Observed::Absent) {
        accelerator::choose(context, &image)?.into_value()
    } else {
        Choice::ordered_tcg()
    };
    let qemu = Qemu::find(&context.cache, context.events)?;
    let node_port = node_port(context, desired)?;
    let vm = VmLaunch { context, image: &image, qemu: &qemu, choice: &choice, node_port };
    Ok(template::find(context, Kind::Applied, &vm.compatibility_key()?, image.manifest.certificate_days).ok())
}
