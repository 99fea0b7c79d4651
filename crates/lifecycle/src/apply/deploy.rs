//! The steps of an apply to an instance whose cluster is reachable: images, manifests, roll-out.

use cluster::ManifestObject;
use host::deadline::Deadline;
use model::config::Ports;
use model::{Error, ErrorClass, Result};

use super::credential::Inside;
use super::injected::Destination;
use super::report::{ApplyReport, count};
use super::settings::Settings;
use super::{images, objects};
use crate::apply::images::LoadedImage;
use crate::context::Context;
use crate::instance::wait::api::Access;
use crate::instance::wait::watch::GuestWatch;
use crate::instance::wait::web;
use crate::project::desired::Desired;
use crate::project::web_port;
use crate::steps::{Outcome, Steps};

/// Loads images and applies manifests. With the `ports` of the running VM it then waits for Deployments and the web port.
/// Two steps, or three with the wait.
///
/// # Errors
/// Config and Cluster errors of images and manifests, Timeout and Guest errors of the wait.
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
    web::wait(watch, ports, deadline)?;
    Ok(Outcome::Done(Some(true), format!("{} answers", ports.web_url())))
}

/// Why nothing can answer on the web port; `None` where a Service of `objects` is behind it.
fn unserved(context: &Context<'_>, objects: &[ManifestObject]) -> Result<Option<String>> {
    let config = &context.project.config;
    let node_port = web_port::node_port(config.ports.web, config.web_service.as_ref(), objects)?;
    Ok((!web_port::is_served(node_port, objects)).then(|| format!("no Service has the NodePort {node_port}")))
}

/// Waits until the application answers, which was applied before the cluster was saved.
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
    web::wait(watch, ports, deadline)?;
    let fact = format!("{} answers; manifests, variables and images are unchanged", ports.web_url());
    Ok(Outcome::Done(report(Some(true)), fact))
}

fn images_fact(images: &[LoadedImage]) -> String {
    let sent = images.iter().filter(|image| image.transferred).count();
    format!("{} loaded, {} there already", sent, images.len() - sent)
}
