//! `apply`: images, then manifests with the web application's variables, then the roll-out.

use cluster::{Applied, ApplyOptions, ManifestObject, RefusedVariable};
use host::files;
use model::config::{InjectMode, Ports};
use model::dotenv::Document;
use model::{Fault, FaultClass, Result};
use qemu::console::ConsoleReader;
use serde::Serialize;

use crate::context::Context;
use crate::guest_watch::GuestWatch;
use crate::images::{self, LoadedImage};
use crate::instance_files;
use crate::observe::{Observed, Running, not_running, observe};
use crate::phases::{Outcome, Phases};
use crate::readiness::{self, Access};
use crate::web_integration;
use crate::web_port;
use host::deadline::Deadline;

/// What an apply did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ApplyReport {
    /// The container images that the guest has now.
    pub images: Vec<LoadedImage>,
    /// The objects, in the order in which they were applied.
    pub objects: Vec<Applied>,
    /// Variables that Kubernetes would refuse, with the reason.
    pub refused_variables: Vec<(String, String)>,
    /// Whether the web port answered: nothing where no Service has it as its NodePort, or nobody waited.
    pub web_answers: Option<bool>,
}

/// How to apply.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Whether to wait for the roll-out.
    pub wait: bool,
    /// Instead of the configured deadline.
    pub timeout: Option<std::time::Duration>,
}

/// Applies the project's manifests to its running instance.
///
/// # Errors
/// A State fault when it does not run, Config faults of manifests and `.env`, Cluster faults of what was refused.
pub fn run(context: &Context<'_>, options: Options) -> Result<ApplyReport> {
    let _lock = context.lock()?;
    web_integration::check(&context.project.web())?;
    let running = match observe(context)? {
        Observed::Running(running) => running,
        _ => return Err(not_running(context)),
    };
    let deadline = Deadline::after(options.timeout.unwrap_or(context.project.config.timeouts.start));
    let mut phases = Phases::new(context.events, if options.wait { 4 } else { 3 });
    let paths = context.paths();
    let mut watch = GuestWatch::new(&running.process, ConsoleReader::from_end(paths.log())?, &paths, context.events);
    let access = phases.run("Connecting to the cluster", || {
        let access = connect(context, &running, &mut watch, deadline)?;
        let server = access.client.server().to_owned();
        Ok(Outcome::Done(access, server))
    })?;
    let ports = options.wait.then(|| running.record.ports());
    deploy(context, &mut phases, &mut watch, &access, ports, deadline)
}

/// Proves the API of a running instance and brings the web folder up to date.
fn connect(context: &Context<'_>, running: &Running, watch: &mut GuestWatch<'_>, deadline: Deadline) -> Result<Access> {
    let paths = context.paths();
    let image = image::open(&running.record.image_folder, &context.cache)?;
    instance_files::follow_folder(&paths, &running.record.ports())?;
    let admin = readiness::admin_kubeconfig(watch, &paths, &image.manifest, deadline)?;
    let access = readiness::api(watch, &context.name, &running.record.ports(), &admin, deadline)?;
    write_web(context, &access)?;
    Ok(access)
}

/// Writes kubeconfig, link and variables for a cluster that has proved to be ours.
///
/// # Errors
/// Faults of reading and writing.
pub(crate) fn write_web(context: &Context<'_>, access: &Access) -> Result<()> {
    let yaml = access.kubeconfig.to_yaml();
    let primary = access.kubeconfig.to_json_base64();
    web_integration::write(
        &context.project.web(),
        &web_integration::Access { kubeconfig: &yaml, primary: &primary },
        context.events,
    )
}

/// Loads images, applies manifests and, given the ports that the running VM has, waits for Deployments and the web
/// port: two phases, or three.
///
/// # Errors
/// As [`run`].
pub(crate) fn deploy(
    context: &Context<'_>,
    phases: &mut Phases<'_>,
    watch: &mut GuestWatch<'_>,
    access: &Access,
    ports: Option<Ports>,
    deadline: Deadline,
) -> Result<ApplyReport> {
    let images = phases.run("Loading container images", || {
        if context.project.config.images.is_empty() {
            return Ok(Outcome::Skipped(Vec::new(), "no [[images]] in .k3s-vm/config.toml".to_owned()));
        }
        let images = images::load_configured(context)?;
        let fact = images_fact(&images);
        Ok(Outcome::Done(images, fact))
    })?;
    let mut report = ApplyReport { images, ..ApplyReport::default() };
    let objects = phases.run("Applying manifests", || {
        let (objects, refused) = manifests(context, access, &report.images)?;
        for variable in &refused {
            context.events.warning(format!("{} of web/.env is not injected: {}", variable.name, variable.reason));
        }
        report.refused_variables = refused.into_iter().map(|variable| (variable.name, variable.reason)).collect();
        if objects.is_empty() {
            return Ok(Outcome::Skipped(
                objects,
                format!("no manifests in {}", context.project.config.manifests.join(", ")),
            ));
        }
        let options = ApplyOptions { deadline: deadline.left(), ..ApplyOptions::default() };
        report.objects = access.client.apply(&objects, &options)?;
        let fact = objects_fact(&report.objects);
        Ok(Outcome::Done(objects, fact))
    })?;
    if let Some(ports) = ports {
        report.web_answers = phases
            .run("Waiting for the application", || rolled_out(context, &ports, watch, access, &objects, deadline))?;
    }
    Ok(report)
}

/// The project's manifests as they stand in its files.
///
/// # Errors
/// A Config fault with all mistakes of all files.
pub(crate) fn read_manifests(context: &Context<'_>) -> Result<Vec<ManifestObject>> {
    let root = context.project.paths.root();
    cluster::manifest_files::read_objects(root, &context.project.config.manifests)
}

/// The objects to apply: the project's manifests with the variables and the loaded images' content noted in them.
fn manifests(
    context: &Context<'_>,
    access: &Access,
    images: &[LoadedImage],
) -> Result<(Vec<ManifestObject>, Vec<RefusedVariable>)> {
    let objects = read_manifests(context)?;
    let digests: Vec<(String, String)> =
        images.iter().map(|image| (image.name.clone(), image.digest.clone())).collect();
    let objects = cluster::image_annotation::annotate(objects, &digests);
    let config = &context.project.config.inject;
    if config.mode == InjectMode::Off {
        return Ok((objects, Vec::new()));
    }
    let variables = match files::read_optional(&context.project.web().dot_env())? {
        Some(bytes) => {
            let document = Document::parse(&bytes);
            for problem in document.problems() {
                context.events.warning(format!("{}/.env: {problem}", context.project.config.web_folder));
            }
            document.variables()
        }
        None => Vec::new(),
    };
    let primary = access.inside.to_json_base64();
    let injection = cluster::inject::inject(objects, &variables, config, Some(&primary));
    Ok((injection.objects, injection.refused))
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
            |fault| match fault.class() {
                FaultClass::Timeout => {
                    access.client.explain_rollout(deployment).into_iter().fold(fault, Fault::because)
                }
                _ => fault,
            },
        )?;
    }
    let service = context.project.config.web_service.as_ref();
    let node_port = web_port::node_port(ports.web, service, objects)?;
    if !web_port::is_served(node_port, objects) {
        let reason = format!("no Service has the NodePort {node_port}");
        return Ok(if deployments.is_empty() {
            Outcome::Skipped(None, reason)
        } else {
            Outcome::Done(None, format!("{} rolled out; {reason}", count(deployments.len(), "Deployment")))
        });
    }
    readiness::web(watch, ports, deadline)?;
    let url = format!("http://localhost:{} answers", ports.web);
    Ok(Outcome::Done(Some(true), url))
}

fn images_fact(images: &[LoadedImage]) -> String {
    let sent = images.iter().filter(|image| image.transferred).count();
    format!("{} loaded, {} there already", sent, images.len() - sent)
}

fn objects_fact(objects: &[Applied]) -> String {
    use cluster::Change::{Configured, Created, Unchanged};
    let of = |change| objects.iter().filter(|object| object.change == change).count();
    format!("{} created, {} configured, {} unchanged", of(Created), of(Configured), of(Unchanged))
}

fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
