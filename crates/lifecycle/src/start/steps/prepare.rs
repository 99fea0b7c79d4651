//! The steps before there is a VM: tools of the host and the guest image.

use model::Result;
use model::guest_image::GuestImage;
use model::requirement::Requirement;

use crate::context::Context;
use crate::image_users::{self, Held};
use crate::instance::observe::Observed;
use crate::packages;
use crate::saved_vm::disk;
use crate::start::beginning::Beginning;
use crate::start::look::{self, Look};
use crate::start::plan::InstanceState;
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
pub(in crate::start) fn check_host(
    context: &Context<'_>,
    look: &Look,
    beginning: &Beginning<'_>,
) -> Result<Outcome<()>> {
    let effective = look::effective(&look.observed, beginning);
    let mut requirements: Vec<Requirement> = SSH.to_vec();
    if effective != InstanceState::Running {
        requirements.extend([qemu::version::QEMU_SYSTEM, qemu::version::QEMU_IMG]);
    }
    if effective == InstanceState::Absent && look.parts.image.is_none() {
        requirements.extend(guest_image::requirements(&look::image_request(context), beginning.rebuilds())?);
    }
    packages::ensure(&requirements, context.project.config.timeouts.install, context.consent, context.events)?;
    Ok(Outcome::Done((), "all tools are there".to_owned()))
}

/// The image of the instance, which nobody removes as long as [`Held`] lives; warns of what of the configuration it does
/// not heed.
pub(in crate::start) fn guest_image(
    context: &Context<'_>,
    look: &Look,
    beginning: &Beginning<'_>,
) -> Result<Outcome<(GuestImage, Held)>> {
    let mut known = look.parts.image.clone();
    loop {
        let chosen = image_of(context, look, beginning, known.take())?;
        let (Outcome::Done(image, _) | Outcome::Skipped(image, _)) = &chosen;
        // Where it was removed just now, another one is found or built, or that is the error.
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
/// configured one for a new disk. `known` is the one that was found before.
fn image_of(
    context: &Context<'_>,
    look: &Look,
    beginning: &Beginning<'_>,
    known: Option<GuestImage>,
) -> Result<Outcome<GuestImage>> {
    if let Some(saved_vm) = beginning.saved_vm() {
        let image = guest_image::open(&saved_vm.cluster.image_directory, &context.cache)?;
        disk::check_image(context, &image, "the saved VM")?;
        let fact = format!("{}, as the saved VM has it", image.describe());
        return Ok(Outcome::Skipped(image, fact));
    }
    let request = look::image_request(context);
    let image = match (&look.observed, beginning) {
        (Observed::Running(running), Beginning::AsItIs) => {
            guest_image::open(&running.state_file.image_directory, &context.cache)?
        }
        (Observed::Stopped | Observed::Orphan(_), Beginning::AsItIs) => disk::guest_image(context)?,
        _ if beginning.rebuilds() => {
            let image = guest_image::rebuild(&request)?;
            let fact = format!("{}, built anew", image.describe());
            return Ok(Outcome::Done(image, fact));
        }
        _ => {
            let known = known.map_or_else(|| guest_image::locate(&request), |known| Ok(Some(known)))?;
            let was_there = known.is_some();
            let image = known.map_or_else(|| guest_image::ensure(&request), Ok)?;
            let fact = image.describe();
            return Ok(if was_there {
                Outcome::Skipped(image, format!("{fact}, built before"))
            } else {
                Outcome::Done(image, fact)
            });
        }
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
