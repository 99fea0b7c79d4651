//! What is looked at before a start is planned. Nothing is changed, built, tested or asked of the network.

use guest_image::ImageRequest;
use model::Result;
use model::guest_image::GuestImage;
use model::port::Port;
use qemu::Qemu;
use qemu::accelerator::Choice;
use qemu::saved_state::CompatibilityKey;

use super::beginning::Beginning;
use super::plan::{Candidate, Goal, InstanceState, Request, Situation, Step};
use crate::apply;
use crate::apply::images;
use crate::context::Context;
use crate::instance::accelerator;
use crate::instance::launch::VmLaunch;
use crate::instance::observe::{Observed, observe};
use crate::instance::orphans;
use crate::instance::suspended_files;
use crate::project::desired::Desired;
use crate::project::web_port;
use crate::saved_vm::SavedVm;
use crate::saved_vm::disk;
use crate::saved_vm::suspend::{self, Suspended};
use crate::saved_vm::template::{self, Kind};

/// What the project's files say, read once.
pub(crate) struct Inputs {
    pub(crate) desired: Desired,
    /// The port of the guest behind which the application listens.
    pub(crate) node_port: Port,
}

impl Inputs {
    /// Reads them, so that a mistake is reported now and not after a minute of booting.
    ///
    /// # Errors
    /// Config errors with all mistakes; a State error for files of the web application that are in the way.
    pub(crate) fn read(context: &Context<'_>) -> Result<Self> {
        apply::check_web(context)?;
        images::sources::check(context.project.paths.root(), &context.project.config.images)?;
        let desired = Desired::read_for_instance(&context.project, context.is_default())?;
        let node_port = node_port(context, &desired)?;
        Ok(Inputs { desired, node_port })
    }
}

fn node_port(context: &Context<'_>, desired: &Desired) -> Result<Port> {
    let config = &context.project.config;
    web_port::node_port(config.ports.web, config.web_service.as_ref(), desired.objects())
}

/// What a VM is started with.
#[derive(Default)]
pub(super) struct Parts {
    /// The guest image, where it is there.
    pub(super) image: Option<GuestImage>,
    /// QEMU, where it is installed.
    pub(super) qemu: Option<Qemu>,
    /// The accelerator, where it is known.
    pub(super) choice: Option<Choice>,
}

/// Saved VMs that could be used, each with the reason where it cannot.
pub(super) struct SavedVms {
    pub(super) suspended: Result<Option<Suspended>, String>,
    pub(super) applied: Result<Option<SavedVm>, String>,
    pub(super) ready: Result<Option<SavedVm>, String>,
    /// Whether the RAM of the snapshot that was named can be used.
    pub(super) snapshot: Result<(), String>,
}

/// What is known before the first step.
pub(super) struct Look {
    pub(super) observed: Observed,
    pub(super) parts: Parts,
    /// Nothing where they cannot be judged yet, and the step after which they can.
    pub(super) saved: Result<SavedVms, Step>,
}

impl Look {
    /// Looks.
    ///
    /// # Errors
    /// Errors of reading the state file, the disk and the process table.
    pub(super) fn at(context: &Context<'_>, inputs: &Inputs, beginning: &Beginning<'_>) -> Result<Self> {
        let observed = observe(context)?;
        let effective = effective(&observed, beginning);
        if effective != InstanceState::Running {
            orphans::check_listenable(context)?;
        }
        let parts = parts(context, effective, beginning);
        let saved = match (&parts.image, &parts.qemu, &parts.choice) {
            (None, _, _) => Err(Step::PrepareImage),
            (_, None, _) => Err(Step::CheckHost),
            (_, _, None) => Err(Step::ChooseAccelerator),
            (Some(image), Some(qemu), Some(choice)) => {
                let vm = VmLaunch { context, image, qemu, choice, node_port: inputs.node_port };
                Ok(SavedVms::look(&vm, &inputs.desired, effective, beginning)?)
            }
        };
        Ok(Look { observed, parts, saved })
    }

    /// The plan's view of it.
    pub(super) fn situation(&self, context: &Context<'_>, beginning: &Beginning<'_>) -> Situation {
        let effective = effective(&self.observed, beginning);
        situation(context, &self.observed, effective, self.saved.as_ref().map_err(|step| *step))
    }
}

/// The plan's view of saved VMs that have been judged.
pub(super) fn situation(
    context: &Context<'_>,
    observed: &Observed,
    effective: InstanceState,
    saved: Result<&SavedVms, Step>,
) -> Situation {
    let state = state_of(observed);
    let unknown = |is_there: bool, step: Step| if is_there { Candidate::KnownAfter(step) } else { Candidate::Missing };
    let has = |kind: Kind| template::directory(context, kind).exists();
    let (suspended, applied, ready, snapshot) = match saved {
        Ok(saved) => (
            candidate(&saved.suspended),
            candidate(&saved.applied),
            candidate(&saved.ready),
            saved.snapshot.clone().map_or_else(Candidate::Unusable, |()| Candidate::Usable),
        ),
        Err(step) => {
            let keeps = context.project.config.templates;
            (
                unknown(suspended_files::is_saved(&context.paths().suspended()), step),
                unknown(keeps && has(Kind::Applied), step),
                unknown(keeps && has(Kind::Ready), step),
                Candidate::KnownAfter(step),
            )
        }
    };
    let suspended_is_ready = match saved {
        Ok(SavedVms { suspended: Ok(Some(suspended)), .. }) => suspended.cluster.is_some(),
        _ => true,
    };
    Situation {
        instance: state,
        accelerator_is_open: chooses_accelerator(context, effective),
        suspended,
        suspended_is_ready,
        applied,
        ready,
        snapshot,
    }
}

fn candidate<T>(saved: &Result<Option<T>, String>) -> Candidate {
    match saved {
        Ok(None) => Candidate::Missing,
        Ok(Some(_)) => Candidate::Usable,
        Err(why) => Candidate::Unusable(why.clone()),
    }
}

/// The instance as a plan sees it.
pub(super) fn state_of(observed: &Observed) -> InstanceState {
    match observed {
        Observed::Absent => InstanceState::Absent,
        Observed::Stopped => InstanceState::Stopped,
        Observed::Running(_) => InstanceState::Running,
        Observed::Orphan(process) => InstanceState::Orphan(process.pid()),
    }
}

/// The instance as the way to a VM finds it: one that is destroyed before is absent then.
pub(super) fn effective(observed: &Observed, beginning: &Beginning<'_>) -> InstanceState {
    match beginning {
        Beginning::AsItIs => state_of(observed),
        Beginning::Anew { .. } | Beginning::Saved { .. } => InstanceState::Absent,
    }
}

/// What the user wants.
pub(super) fn request(context: &Context<'_>, beginning: &Beginning<'_>, wait: bool) -> Request {
    let goal = match beginning {
        Beginning::AsItIs => Goal::Start,
        Beginning::Anew { rebuild, .. } => Goal::Anew { rebuild: *rebuild },
        Beginning::Saved { destroy, .. } => Goal::Snapshot { destroy: destroy.is_some() },
    };
    Request { goal, wait, templates: context.project.config.templates }
}

/// Whether there is an accelerator to choose: a VM that runs has one.
fn chooses_accelerator(context: &Context<'_>, effective: InstanceState) -> bool {
    matches!(effective, InstanceState::Absent | InstanceState::Stopped) && accelerator::is_open(context)
}

/// The image, QEMU and accelerator, as far as they are there. What is wrong with one is for the step that needs it.
fn parts(context: &Context<'_>, effective: InstanceState, beginning: &Beginning<'_>) -> Parts {
    let image = match (beginning, effective) {
        (Beginning::Saved { saved_vm, .. }, _) => {
            guest_image::open(&saved_vm.cluster.image_directory, &context.cache).ok()
        }
        _ if beginning.rebuilds() => None,
        (_, InstanceState::Stopped) => disk::guest_image(context).ok(),
        (_, InstanceState::Absent) => configured_image(context).ok().flatten(),
        (_, InstanceState::Running | InstanceState::Orphan(_)) => None,
    };
    let qemu = image.as_ref().and_then(|_| Qemu::find(&context.cache, context.events).ok());
    let choice = match (&image, &qemu) {
        _ if !chooses_accelerator(context, effective) => Some(Choice::ordered_tcg()),
        (Some(image), Some(qemu)) => accelerator::known(context, image, qemu),
        _ => None,
    };
    Parts { image, qemu, choice }
}

/// The image that a new instance would have, where it is there.
///
/// # Errors
/// Config errors; where a release of K3s is needed, that it cannot be had.
pub(crate) fn configured_image(context: &Context<'_>) -> Result<Option<GuestImage>> {
    guest_image::locate(&image_request(context))
}

/// What the configuration says of the guest image.
pub(super) fn image_request<'a>(context: &'a Context<'_>) -> ImageRequest<'a> {
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

impl SavedVms {
    /// None at all.
    pub(super) fn none() -> Self {
        SavedVms { suspended: Ok(None), applied: Ok(None), ready: Ok(None), snapshot: Ok(()) }
    }

    /// Judges the saved VMs that `vm` could begin from.
    ///
    /// # Errors
    /// An error when a file of the image or QEMU cannot be looked at.
    pub(super) fn look(
        vm: &VmLaunch<'_>,
        desired: &Desired,
        effective: InstanceState,
        beginning: &Beginning<'_>,
    ) -> Result<Self> {
        let context = vm.context;
        let days = vm.image.manifest.certificate_days;
        Ok(match (beginning, effective) {
            (Beginning::Saved { saved_vm, .. }, _) => {
                SavedVms { snapshot: saved_vm.fits_as_snapshot(&vm.compatibility_key()?, days), ..SavedVms::none() }
            }
            (_, InstanceState::Stopped) => {
                let paths = context.paths();
                SavedVms {
                    suspended: suspend::find(&paths.suspended(), &paths.disk(), &vm.compatibility_key()?),
                    ..SavedVms::none()
                }
            }
            (_, InstanceState::Absent) if context.project.config.templates => {
                if beginning.rebuilds() {
                    return Ok(SavedVms::none());
                }
                let key = vm.compatibility_key()?;
                SavedVms {
                    applied: applied(context, desired, &key, days),
                    ready: find(context, Kind::Ready, &key, days),
                    ..SavedVms::none()
                }
            }
            _ => SavedVms::none(),
        })
    }
}

/// A template, nothing where there is none.
fn find(context: &Context<'_>, kind: Kind, now: &CompatibilityKey, days: u32) -> Result<Option<SavedVm>, String> {
    if !template::directory(context, kind).exists() {
        return Ok(None);
    }
    template::find(context, kind, now, days).map(Some)
}

/// The template with the application, where what is in it is what would be applied now, container images aside.
fn applied(
    context: &Context<'_>,
    desired: &Desired,
    now: &CompatibilityKey,
    days: u32,
) -> Result<Option<SavedVm>, String> {
    let Some(saved_vm) = find(context, Kind::Applied, now, days)? else { return Ok(None) };
    match &saved_vm.cluster.applied {
        Some(applied) if applied.manifests == desired.digest(&context.project) => Ok(Some(saved_vm)),
        _ => Err("manifests or variables have changed since".to_owned()),
    }
}

/// The template with the application, where it fits QEMU, the guest image and the configuration of now.
///
/// # Errors
/// Errors of the configuration, and of finding QEMU and the image.
pub(crate) fn applied_template(context: &Context<'_>, desired: &Desired) -> Result<Option<SavedVm>> {
    let Some(image) = configured_image(context)? else { return Ok(None) };
    let choice = if accelerator::is_open(context) {
        accelerator::choose(context, &image)?.into_value()
    } else {
        Choice::ordered_tcg()
    };
    let qemu = Qemu::find(&context.cache, context.events)?;
    let node_port = node_port(context, desired)?;
    let vm = VmLaunch { context, image: &image, qemu: &qemu, choice: &choice, node_port };
    Ok(template::find(context, Kind::Applied, &vm.compatibility_key()?, image.manifest.certificate_days).ok())
}
