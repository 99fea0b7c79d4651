//! Runs the plan of a start: prepares, checks everything that can be refused, destroys what is to be destroyed, and takes
//! the ways to a VM one after the other until one leads to a useful one.

use host::deadline::Deadline;
use model::{Error, ErrorClass, Result};
use qemu::Qemu;
use qemu::accelerator::Choice;
use qemu::console::ConsoleReader;

use super::beginning::{Beginning, of_new_instance};
use super::look::{self, Inputs, Look, SavedVms};
use super::plan::{From, InstanceState, Plan, Refusal, Request, Step, plan};
use super::report::{StartOptions, StartReport, report};
use super::steps::arrive::{self, Arrival, Arrived};
use super::steps::begin::{Begin, Begun, Start};
use super::steps::prepare;
use crate::context::Context;
use crate::instance::accelerator;
use crate::instance::observe::{Observed, Running};
use crate::instance::saved_cluster::SavedCluster;
use crate::instance::supervisor_process;
use crate::instance::wait::watch::GuestWatch;
use crate::saved_vm::template::{self, Kind};
use crate::steps::Steps;

/// Starts the instance, whose lock is held.
///
/// # Errors
/// An error of any step; a VM that was started runs on, so that the next start continues where this one ended.
pub(crate) fn run_locked(
    context: &Context<'_>,
    options: StartOptions,
    beginning: &Beginning<'_>,
) -> Result<StartReport> {
    let inputs = Inputs::read(context)?;
    let look = Look::at(context, &inputs, beginning)?;
    let request = look::request(context, beginning, options.wait);
    let first = planned(context, &look, beginning, &request)?;
    let steps = &mut Steps::new(context.events, first.length());

    let title = Step::title;
    steps.run(title(Step::CheckHost), || prepare::check_host(context, &look, beginning))?;
    // Held until the VM runs and everything that would keep the image is written.
    let (image, _held) = steps.run(title(Step::PrepareImage), || prepare::guest_image(context, &look, beginning))?;
    // Before anything is destroyed: who wants KVM and nothing else keeps the old instance where there is none.
    let choice = if first.prepares(Step::ChooseAccelerator) {
        steps.run(title(Step::ChooseAccelerator), || accelerator::choose(context, &image))?
    } else {
        Choice::ordered_tcg()
    };
    let effective = look::effective(&look.observed, beginning);
    let runs = effective == InstanceState::Running;
    let qemu = if runs { None } else { Some(Qemu::find(&context.cache, context.events)?) };
    let begin = Begin::new(Start { context, inputs: &inputs, image: &image, choice: &choice, qemu: qemu.as_ref() })?;

    // What could not be judged before can be judged now.
    let is_known = look.parts.image.as_ref().is_some_and(|known| known.directory == image.directory)
        && look.parts.choice.as_ref() == Some(&choice);
    let saved = match (look.saved, begin.vm()) {
        (Ok(saved), _) if is_known => saved,
        (_, Some(vm)) => SavedVms::look(&vm, &inputs.desired, effective, beginning)?,
        (_, None) => SavedVms::none(),
    };
    let situation = look::situation(context, &look.observed, effective, Ok(&saved));
    let plan = plan(&situation, &request).map_err(|refusal| refused(context, refusal))?;

    if let Some(destroy) = beginning.destroy() {
        steps.run(title(Step::DestroyInstance), || begin.destroy(destroy))?;
    }
    if beginning.rebuilds() && request.templates {
        template::remove(context, Kind::Applied)?;
        template::remove(context, Kind::Ready)?;
    }
    begin.give_up_unusable(&saved, &plan)?;
    let deadline = Deadline::after(options.timeout.unwrap_or(context.project.config.timeouts.start));
    take_ways(&begin, &plan, look.observed, saved, beginning, deadline, steps)
}

/// Starts an instance that is not there, from the snapshot `from` where one is named. Its lock is held.
///
/// # Errors
/// As [`run_locked`]; State where the snapshot cannot be used.
pub(crate) fn run_from(context: &Context<'_>, from: Option<&str>, options: StartOptions) -> Result<StartReport> {
    of_new_instance(context, from, |beginning| run_locked(context, options, beginning))
}

/// The plan from what was seen.
///
/// # Errors
/// A State error where there can be none.
pub(super) fn planned(
    context: &Context<'_>,
    look: &Look,
    beginning: &Beginning<'_>,
    request: &Request,
) -> Result<Plan> {
    plan(&look.situation(context, beginning), request).map_err(|refusal| refused(context, refusal))
}

fn refused(context: &Context<'_>, refusal: Refusal) -> Error {
    let Refusal::Orphan(pid) = refusal;
    Error::new(ErrorClass::State, format!("pid {pid} is a QEMU of this instance that lost its state file"))
        .because("its state cannot be known")
        .next(format!("{}     # powers it off; data are kept", context.command("stop --power-off")))
        .next(format!("{}    # destroys it and starts anew", context.command("reset")))
}

/// Takes the ways to a VM in their order.
fn take_ways(
    begin: &Begin<'_>,
    plan: &Plan,
    observed: Observed,
    saved: SavedVms,
    beginning: &Beginning<'_>,
    deadline: Deadline,
    steps: &mut Steps<'_>,
) -> Result<StartReport> {
    let context = begin.start.context;
    let mut found = begin.found(observed, saved, beginning);
    let mut only_boots = false;
    for (at, way) in plan.ways.iter().enumerate() {
        if only_boots && !way.boots() {
            continue;
        }
        let next = plan.ways[at + 1..].iter();
        steps.expect(way.steps.len());
        let begun = match found.begin(way, steps)? {
            Ok(begun) => begun,
            Err(why) => {
                found.give_up(way, next.clone().next(), why)?;
                continue;
            }
        };
        if way.from == From::Running {
            supervisor_process::ensure(context);
        }
        let Begun { running, console, cluster, saved_vm } = begun;
        if way.steps.len() == 1 {
            return Ok(report(context, &running, way.from, None));
        }
        let arrival = Arrival {
            context,
            desired: &begin.start.inputs.desired,
            image: begin.start.image,
            deadline,
            running: &running,
            way,
            cluster: cluster.as_ref(),
            saved_vm: saved_vm.as_ref(),
        };
        match arrival.run(console, steps)? {
            Arrived::Ready(applied, services) => {
                let report = report(context, &running, way.from, Some(applied));
                return Ok(StartReport { services_state: Some(services), ..report });
            }
            Arrived::Silent(why) => {
                found.end(&running, way, next.clone().find(|next| next.boots()), saved_vm.as_ref(), &why)?;
                only_boots = true;
            }
        }
    }
    // The last way boots, and what is wrong with a boot is an error of its own.
    Err(Error::new(ErrorClass::Failed, format!("no way to start {} is left", context.name)))
}

/// Waits until a VM whose guest has just been resumed is useful.
///
/// # Errors
/// State where its cluster was never Ready; Timeout and Guest errors of the wait.
pub(crate) fn awaken(context: &Context<'_>, running: &Running) -> Result<StartReport> {
    let paths = context.paths();
    let cluster = SavedCluster::read(&paths.cluster())
        .map_err(|why| Error::new(ErrorClass::State, "its cluster was never Ready").because(why))?;
    let console = ConsoleReader::from_end(paths.log())?;
    let watch = &mut GuestWatch::new(&running.process, console, &paths, context.events);
    let deadline = Deadline::after(context.project.config.timeouts.start);
    arrive::wake(context, running, watch, &cluster, deadline)?;
    Ok(report(context, running, From::Running, Some(None)))
}
