//! The step that chooses the accelerator of a VM that is about to be started.

use std::path::Path;

use model::Result;
use model::config::Accel;
use model::guest_image::GuestImage;
use qemu::Qemu;
use qemu::accelerator::{Choice, SelfTest, Source};

use crate::context::Context;
use crate::steps::Outcome;

/// Whether there is anything to choose for a VM that is to be started: the configuration can ask for TCG.
pub(crate) fn is_open(context: &Context<'_>) -> bool {
    context.project.config.vm.accel != Accel::Tcg
}

/// What [`choose`] would say without a test, where that is known. Nothing is run.
pub(crate) fn known(context: &Context<'_>, image: &GuestImage, qemu: &Qemu) -> Option<Choice> {
    let only_kvm = context.project.config.vm.accel == Accel::Kvm;
    let tested = test(context, image, &image.kernel(), qemu).known(only_kvm).ok()??;
    match tested.refusal {
        None => Some(Choice::proven_kvm()),
        Some(_) if only_kvm => None,
        Some(refusal) => Some(Choice::fallback(&refusal)),
    }
}

fn test<'a>(context: &'a Context<'_>, image: &'a GuestImage, kernel: &'a Path, qemu: &'a Qemu) -> SelfTest<'a> {
    let config = &context.project.config;
    SelfTest {
        qemu,
        device: &context.kvm_device,
        cpus: config.vm.cpus,
        kernel,
        kernel_command_line: &image.manifest.kernel_command_line,
        deadline: config.timeouts.kvm_test,
        cache: &context.cache,
    }
}

/// Chooses KVM where it works; else TCG with a note of the reason or, where the configuration wants only KVM, an error.
///
/// # Errors
/// A Host error where the configuration wants KVM only; errors of finding QEMU and of the test.
pub(crate) fn choose(context: &Context<'_>, image: &GuestImage) -> Result<Outcome<Choice>> {
    let only_kvm = context.project.config.vm.accel == Accel::Kvm;
    let qemu = Qemu::find(&context.cache, context.events)?;
    // Where only KVM will do, an old failure is tested again.
    let tested = test(context, image, &image.kernel(), &qemu).run(only_kvm, context.events)?;
    let Some(refusal) = &tested.refusal else {
        return Ok(match tested.source {
            Source::Verdict => {
                Outcome::Skipped(Choice::proven_kvm(), "kvm, which a guest has proved before".to_owned())
            }
            _ => Outcome::Done(Choice::proven_kvm(), "kvm: a guest ran under it".to_owned()),
        });
    };
    if only_kvm {
        return Err(refusal.error());
    }
    let choice = Choice::fallback(refusal);
    let fact = choice.to_string();
    if tested.source == Source::Verdict {
        return Ok(Outcome::Skipped(choice, format!("{fact}, as it was tested before")));
    }
    context.events.note(refusal.note());
    Ok(Outcome::Done(choice, fact))
}
