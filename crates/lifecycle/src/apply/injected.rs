//! The objects to apply: the project's manifests with the web application's variables and the digests of the images.

use cluster::{Kubeconfig, ManifestObject, RefusedVariable, manifest};
use model::Result;
use model::config::InjectMode;
use model::dotenv::Document;

use super::credential::Inside;
use crate::context::Context;
use crate::project::desired::Desired;

/// The variable with the kubeconfig.
const KUBECONFIG_PRIMARY: &str = "KUBECONFIG_PRIMARY";

/// The cluster for which objects are made.
pub(super) struct Destination<'a> {
    /// The source of the kubeconfig for containers; without one, no container gets `KUBECONFIG_PRIMARY`.
    pub(super) inside: Inside<'a>,
    /// The namespace of objects that name none.
    pub(super) namespace: &'a str,
    /// Full name and digest of the images that the cluster has.
    pub(super) images: Vec<(String, String)>,
}

/// The objects, and the variables that could not be injected.
pub(super) struct Injected {
    /// In the order of the files.
    pub(super) objects: Vec<ManifestObject>,
    /// Variables that Kubernetes would refuse, with the reason.
    pub(super) refused_variables: Vec<(String, String)>,
}

/// The objects to apply to the destination.
///
/// # Errors
/// Cluster errors of the credential for containers.
pub(super) fn inject(context: &Context<'_>, desired: &Desired, destination: &Destination<'_>) -> Result<Injected> {
    let mut objects = desired.objects().to_vec();
    manifest::name_namespace(&mut objects, destination.namespace);
    let objects = cluster::image_annotation::annotate(objects, &destination.images);
    let config = &context.project.config.inject;
    let wanted = cluster::inject::wants_kubeconfig(&objects, config);
    let inside = destination.inside.kubeconfig(context, wanted)?;
    if config.mode == InjectMode::Off {
        return Ok(Injected { objects, refused_variables: Vec::new() });
    }
    let variables = variables(context, desired.variables());
    if matches!(destination.inside, Inside::Nowhere) && variables.iter().any(|(name, _)| name == KUBECONFIG_PRIMARY) {
        context.events.note(format!(
            "{KUBECONFIG_PRIMARY} is not injected: it is for this project's VM, and your own credentials stay here"
        ));
    }
    let primary = inside.as_ref().map(Kubeconfig::to_json_base64);
    let injection = cluster::inject::inject(objects, &variables, config, primary.as_deref());
    for RefusedVariable { name, reason } in &injection.refused {
        let directory = &context.project.config.web_directory;
        context.events.warning(format!("{name} of {directory}/.env is not injected: {reason}"));
    }
    let refused_variables = injection.refused.into_iter().map(|variable| (variable.name, variable.reason)).collect();
    Ok(Injected { objects: injection.objects, refused_variables })
}

/// The variables of the web application.
fn variables(context: &Context<'_>, document: &Document) -> Vec<(String, String)> {
    for problem in document.problems() {
        context.events.warning(format!("{}/.env: {problem}", context.project.config.web_directory));
    }
    document.variables()
}
