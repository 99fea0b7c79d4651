//! `apply` to any cluster of a kubeconfig. It needs no VM, and writes no file.

use cluster::{ClusterClient, ImageName, KubeconfigContext};
use host::deadline::Deadline;
use model::Result;

use super::credential::Inside;
use super::injected::Destination;
use super::objects;
use super::report::{ApplyReport, count};
use super::settings::Options;
use crate::context::Context;
use crate::project::desired::Desired;
use crate::steps::{Outcome, Steps};

/// Applies the project's manifests to the cluster of `target`.
///
/// # Errors
/// Config errors of the kubeconfig and of the project's files, Cluster errors of what was refused.
pub(super) fn run(context: &Context<'_>, target: &KubeconfigContext, options: &Options) -> Result<ApplyReport> {
    // Errors of the manifests come before a credential plugin asks the user for anything.
    let desired = Desired::read(&context.project)?;
    desired.check(&context.project)?;
    let deadline = options.deadline(context);
    let mut steps = Steps::new(context.events, if options.wait { 3 } else { 2 });
    let client = steps.run("Connecting to the cluster", || connect(target, deadline))?;
    note_images(context);
    let settings = options.settings.shared(context, &client, deadline.left());
    let mut report = ApplyReport::default();
    let objects = steps.run("Applying manifests", || {
        objects::apply(context, &client, (&desired, &destination(&client)), (options.settings, &settings), &mut report)
    })?;
    if options.wait {
        steps.run("Waiting for the application", || {
            let deployments = cluster::ready::deployments(&objects);
            if deployments.is_empty() {
                return Ok(Outcome::Skipped((), "no Deployment in the manifests".to_owned()));
            }
            client.wait_rollouts(&deployments, deadline.left(), context.events)?;
            Ok(Outcome::Done((), format!("{} rolled out", count(deployments.len(), "Deployment"))))
        })?;
    }
    Ok(report)
}

/// Connects to the cluster of `target`, which has to answer.
pub(super) fn connect(target: &KubeconfigContext, deadline: Deadline) -> Result<Outcome<ClusterClient>> {
    let client = ClusterClient::of_kubeconfig(target)?;
    let version = client.version(deadline.left())?;
    let fact = format!("{} ({version})", client.server());
    Ok(Outcome::Done(client, fact))
}

/// The destination of objects for a cluster that is not the project's VM.
pub(super) fn destination(client: &ClusterClient) -> Destination<'_> {
    Destination { inside: Inside::Nowhere, namespace: client.default_namespace(), images: Vec::new() }
}

fn note_images(context: &Context<'_>) {
    let names: Vec<String> = configured_images(context);
    if !names.is_empty() {
        context.events.note(format!(
            "container images are loaded into this project's VM only: the cluster must be able to pull {}",
            names.join(", ")
        ));
    }
}

/// The full names of the configured images.
pub(super) fn configured_images(context: &Context<'_>) -> Vec<String> {
    let images = context.project.config.images.iter();
    images
        .map(|image| ImageName::parse(&image.name).map_or_else(|_| image.name.clone(), |name| name.as_str().to_owned()))
        .collect()
}
