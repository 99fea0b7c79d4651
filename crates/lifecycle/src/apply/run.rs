//! Applying to the project's running instance.

use host::deadline::Deadline;
use model::Result;
use qemu::console::ConsoleReader;

use super::deploy::deploy;
use super::report::ApplyReport;
use super::settings::{Options, Target};
use super::shared;
use super::web::{check_web, write_web};
use crate::context::Context;
use crate::instance;
use crate::instance::awake;
use crate::instance::lock;
use crate::instance::observe::{Observed, Running, not_running, observe};
use crate::instance::wait::api::{self, Access};
use crate::instance::wait::guest;
use crate::instance::wait::watch::GuestWatch;
use crate::project::desired::Desired;
use crate::steps::{Outcome, Steps};

/// Applies the project's manifests to its running instance, or to the cluster that the user names.
///
/// # Errors
/// A State error when the instance does not run, Config errors of manifests and `.env`, Cluster errors of what was
/// refused.
pub fn run(context: &Context<'_>, options: &Options) -> Result<ApplyReport> {
    if let Target::Kubeconfig(target) = &options.target {
        return shared::run(context, target, options);
    }
    let _lock = lock::of(context)?;
    check_web(context)?;
    let running = running(context)?;
    let desired = Desired::read_for_instance(&context.project, context.is_default())?;
    desired.check(&context.project)?;
    let deadline = options.deadline(context);
    let mut steps = Steps::new(context.events, if options.wait { 4 } else { 3 });
    let paths = context.paths();
    let mut watch = GuestWatch::new(&running.process, ConsoleReader::from_end(paths.log())?, &paths, context.events);
    let access = steps.run("Connecting to the cluster", || {
        let access = prove(context, &running, &mut watch, deadline)?;
        instance::files::follow_directory(&paths, &running.state_file.ports())?;
        write_web(context, &access)?;
        let server = access.client.server().to_owned();
        Ok(Outcome::Done(access, server))
    })?;
    let ports = options.wait.then(|| running.state_file.ports());
    deploy(context, &desired, &mut steps, &mut watch, &access, ports, options.settings, deadline)
}

/// The running instance.
///
/// # Errors
/// A State error when it does not run.
pub(super) fn running(context: &Context<'_>) -> Result<Box<Running>> {
    match observe(context)? {
        Observed::Running(running) => Ok(running),
        _ => Err(not_running(context)),
    }
}

/// Resumes a running instance that is paused, and waits until its API proves to be ours.
///
/// # Errors
/// A Port error when another cluster answers; Timeout and Guest errors of the watch.
pub(super) fn prove(
    context: &Context<'_>,
    running: &Running,
    watch: &mut GuestWatch<'_>,
    deadline: Deadline,
) -> Result<Access> {
    awake::ensure_supervised(context)?;
    let paths = context.paths();
    let image = guest_image::open(&running.state_file.image_directory, &context.cache)?;
    let admin = guest::wait_for_credentials(watch, &paths, &image.manifest, deadline)?;
    api::wait(watch, &context.name, &running.state_file.ports(), &admin, deadline)
}
