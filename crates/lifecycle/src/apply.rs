//! `apply`: images, then manifests with the web application's variables, then the roll-out; what has left the manifests
//! is deleted.

mod credential;
pub mod images;
mod injected;
mod inputs;
mod objects;
mod preview;
mod settings;
mod shared;
mod watch;

use std::time::Duration;

use cluster::ManifestObject;
pub use cluster::{Applied, Change, KubeconfigContext, Previewed, PruneOutcome, Pruned};
use host::deadline::Deadline;
use host::files::{self, Mode};
use model::config::Ports;
use model::{Error, ErrorClass, Result};
use qemu::console::ConsoleReader;
use serde::Serialize;

use crate::apply::images::LoadedImage;
use crate::context::Context;
use crate::instance;
use crate::instance::awake;
use crate::instance::lock;
use crate::instance::observe::{Observed, Running, not_running, observe};
use crate::instance::wait::readiness::{self, Access};
use crate::instance::wait::watch::GuestWatch;
use crate::project::desired::Desired;
use crate::project::dot_env;
use crate::project::web_files;
use crate::project::web_port;
use crate::steps::{Outcome, Steps};
use credential::Inside;
use injected::Destination;
pub(crate) use inputs::AppliedInputs;
pub use preview::{PreviewReport, preview};
pub use settings::Settings;
pub use watch::watch;

/// What an apply did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ApplyReport {
    /// The container images that the guest has now.
    pub images: Vec<LoadedImage>,
    /// The objects, in the order in which they were applied.
    pub objects: Vec<Applied>,
    /// The objects that have left the manifests, in the order in which they were deleted.
    pub pruned: Vec<Pruned>,
    /// Variables that Kubernetes would refuse, with the reason.
    pub refused_variables: Vec<(String, String)>,
    /// Whether the web port answered: nothing where no Service has it as its NodePort, or nobody waited.
    pub web_answers: Option<bool>,
}

/// The cluster that is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// That of the project's instance.
    Instance,
    /// Any other.
    Kubeconfig(KubeconfigContext),
}

/// How to apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Where to.
    pub target: Target,
    /// How the objects are applied.
    pub settings: Settings,
    /// Whether to wait for the roll-out.
    pub wait: bool,
    /// Instead of the configured deadline.
    pub timeout: Option<Duration>,
}

impl Options {
    fn deadline(&self, context: &Context<'_>) -> Deadline {
        Deadline::after(self.timeout.unwrap_or(context.project.config.timeouts.start))
    }
}

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
    let desired = Desired::read_for_instance(context)?;
    desired.check(context)?;
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

fn running(context: &Context<'_>) -> Result<Box<Running>> {
    match observe(context)? {
        Observed::Running(running) => {
            awake::ensure_kept(context)?;
            Ok(running)
        }
        _ => Err(not_running(context)),
    }
}

/// Proves the API of a running instance.
fn prove(context: &Context<'_>, running: &Running, watch: &mut GuestWatch<'_>, deadline: Deadline) -> Result<Access> {
    let paths = context.paths();
    let image = guest_image::open(&running.state_file.image_directory, &context.cache)?;
    let admin = readiness::admin_kubeconfig(watch, &paths, &image.manifest, deadline)?;
    readiness::api(watch, &context.name, &running.state_file.ports(), &admin, deadline)
}

/// Whether [`write_web`] would find something in its way.
///
/// # Errors
/// A State error that names each file that has to be moved or made writable.
pub(crate) fn check_web(context: &Context<'_>) -> Result<()> {
    let web = context.project.web();
    if context.is_default() {
        return web_files::check(&web, &context.name);
    }
    dot_env::read(&web.dot_env()).map(drop)
}

/// Writes kubeconfig, link and variables for a cluster that has proved to be ours; of an instance with a name, the
/// kubeconfig alone.
///
/// # Errors
/// Errors of reading and writing.
pub(crate) fn write_web(context: &Context<'_>, access: &Access) -> Result<()> {
    let yaml = access.kubeconfig.to_yaml();
    if !context.is_default() {
        return files::write_atomic(&context.kubeconfig(), yaml.as_bytes(), Mode::Exactly(0o600));
    }
    let primary = access.kubeconfig.to_json_base64();
    let (web, scratch) = (context.project.web(), context.paths().vm_dir());
    web_files::Web { paths: &web, scratch: &scratch }
        .write(&web_files::Access { name: &context.name, kubeconfig: &yaml, primary: &primary }, context.events)
}

/// Loads images, applies manifests and, given the ports that the running VM has, waits for Deployments and the web
/// port: two steps, or three.
///
/// # Errors
/// As [`run`].
#[expect(clippy::too_many_arguments, reason = "the values of a verb, each of which has a use here")]
pub(crate) fn deploy(
    context: &Context<'_>,
    desired: &Desired,
    steps: &mut Steps<'_>,
    watch: &mut GuestWatch<'_>,
    access: &Access,
    ports: Option<Ports>,
    settings: Settings,
    deadline: Deadline,
) -> Result<ApplyReport> {
    let images = steps.run("Loading container images", || {
        if context.project.config.images.is_empty() {
            return Ok(Outcome::Skipped(Vec::new(), "no [[images]] in .k3s-vm/config.toml".to_owned()));
        }
        let images = images::load_configured(context)?;
        let fact = images_fact(&images);
        Ok(Outcome::Done(images, fact))
    })?;
    let mut report = ApplyReport { images, ..ApplyReport::default() };
    let objects = steps.run("Applying manifests", || {
        let digests = report.images.iter().map(|image| (image.name.clone(), image.digest.clone()));
        let destination = Destination {
            inside: Inside::Made(access, deadline),
            namespace: access.client.default_namespace(),
            images: digests.collect(),
        };
        objects::apply(
            context,
            &access.client,
            (desired, &destination),
            (settings, &settings.own(deadline.left())),
            &mut report,
        )
    })?;
    if let Some(ports) = ports {
        report.web_answers = steps
            .run("Waiting for the application", || rolled_out(context, &ports, watch, access, &objects, deadline))?;
    }
    Ok(report)
}

fn rolled_out(
    context: &Context<'_>,
    ports: &Ports,
    watch: &mut GuestWatch<'_>,
    access: &Access,
    objects: &[ManifestObject],
    deadline: Deadline,
) -> Result<Outcome<Option<bool>>> {
    let deployments = cluster::ready::deployments(objects);
    for deployment in &deployments {
        watch.wait(&deployment.to_string(), deadline, |left| access.client.look_rollout(deployment, left)).map_err(
            |error| match error.class() {
                ErrorClass::Timeout => {
                    access.client.explain_rollout(deployment).into_iter().fold(error, Error::because)
                }
                _ => error,
            },
        )?;
    }
    if let Some(unserved) = unserved(context, objects)? {
        return Ok(if deployments.is_empty() {
            Outcome::Skipped(None, unserved)
        } else {
            Outcome::Done(None, format!("{} rolled out; {unserved}", count(deployments.len(), "Deployment")))
        });
    }
    readiness::web(watch, ports, deadline)?;
    Ok(Outcome::Done(Some(true), format!("{} answers", ports.web_url())))
}

/// Why nothing can answer on the web port; nothing where a Service of `objects` is behind it.
fn unserved(context: &Context<'_>, objects: &[ManifestObject]) -> Result<Option<String>> {
    let config = &context.project.config;
    let node_port = web_port::node_port(config.ports.web, config.web_service.as_ref(), objects)?;
    Ok((!web_port::is_served(node_port, objects)).then(|| format!("no Service has the NodePort {node_port}")))
}

/// Waits until the application answers that was applied before the cluster was saved.
///
/// # Errors
/// Timeout and Guest errors of the watch.
pub(crate) fn answers(
    context: &Context<'_>,
    desired: &Desired,
    ports: &Ports,
    watch: &mut GuestWatch<'_>,
    deadline: Deadline,
) -> Result<Outcome<ApplyReport>> {
    let report = |web_answers| ApplyReport { web_answers, ..ApplyReport::default() };
    if let Some(unserved) = unserved(context, desired.objects())? {
        return Ok(Outcome::Skipped(report(None), unserved));
    }
    readiness::web(watch, ports, deadline)?;
    let fact = format!("{} answers; manifests, variables and images are unchanged", ports.web_url());
    Ok(Outcome::Done(report(Some(true)), fact))
}

fn images_fact(images: &[LoadedImage]) -> String {
    let sent = images.iter().filter(|image| image.transferred).count();
    format!("{} loaded, {} there already", sent, images.len() - sent)
}

fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
