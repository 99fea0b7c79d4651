//! What is to be in the cluster: the project's manifests with the web application's variables and the images' content.

use cluster::{Kubeconfig, ManifestObject, RefusedVariable, manifest, manifest_files};
use model::config::InjectMode;
use model::{Fault, FaultClass, Result};

use super::credential::Inside;
use crate::context::Context;
use crate::dot_env;

/// The variable that carries the kubeconfig.
const KUBECONFIG_PRIMARY: &str = "KUBECONFIG_PRIMARY";

/// The cluster for which objects are made.
pub(super) struct Destination<'a> {
    /// The kubeconfig for containers; without one, `KUBECONFIG_PRIMARY` reaches none.
    pub(super) inside: Inside<'a>,
    /// Where objects go that name no namespace.
    pub(super) namespace: &'a str,
    /// Full name and digest of the images that it has.
    pub(super) images: Vec<(String, String)>,
}

/// The objects, and what could not be made part of them.
pub(super) struct Desired {
    /// In the order of the files.
    pub(super) objects: Vec<ManifestObject>,
    /// Variables that Kubernetes would refuse, with the reason.
    pub(super) refused_variables: Vec<(String, String)>,
}

/// The manifests as they stand in the project's files.
///
/// # Errors
/// A Config fault with all mistakes of all files.
pub(crate) fn read_manifests(context: &Context<'_>) -> Result<Vec<ManifestObject>> {
    manifest_files::read_objects(context.project.paths.root(), &context.project.config.manifests)
}

/// Where manifests are, as messages name it.
pub(super) fn place(context: &Context<'_>) -> String {
    context.project.config.manifests.join(", ")
}

/// Looks at the manifests alone, for those who have much to do before they apply them.
///
/// # Errors
/// As [`desired`], and that there are none.
pub(super) fn check(context: &Context<'_>) -> Result<()> {
    let files = manifest_files::read_all(context.project.paths.root(), &context.project.config.manifests)?;
    if manifest::parse(&files)?.is_empty() && !manifest::want_nothing(&files) {
        return Err(nothing(context));
    }
    Ok(())
}

/// The objects to apply; `None` where the files hold none. No object at all is meant only where a file says so by an
/// empty List: files may be lost, and what they held would be deleted.
///
/// # Errors
/// A Config fault with all mistakes of all files.
pub(super) fn desired(context: &Context<'_>, destination: &Destination<'_>) -> Result<Option<Desired>> {
    let files = manifest_files::read_all(context.project.paths.root(), &context.project.config.manifests)?;
    let mut objects = manifest::parse(&files)?;
    if objects.is_empty() && !manifest::want_nothing(&files) {
        return Ok(None);
    }
    manifest::name_namespace(&mut objects, destination.namespace);
    let objects = cluster::image_annotation::annotate(objects, &destination.images);
    let config = &context.project.config.inject;
    let wanted = cluster::inject::wants_kubeconfig(&objects, config);
    let inside = destination.inside.kubeconfig(context, wanted)?;
    if config.mode == InjectMode::Off {
        return Ok(Some(Desired { objects, refused_variables: Vec::new() }));
    }
    let variables = variables(context)?;
    if matches!(destination.inside, Inside::Nowhere) && variables.iter().any(|(name, _)| name == KUBECONFIG_PRIMARY) {
        context.events.note(format!(
            "{KUBECONFIG_PRIMARY} is not injected: it is for this project's VM, and your own credentials stay here"
        ));
    }
    let primary = inside.as_ref().map(Kubeconfig::to_json_base64);
    let injection = cluster::inject::inject(objects, &variables, config, primary.as_deref());
    for RefusedVariable { name, reason } in &injection.refused {
        let folder = &context.project.config.web_folder;
        context.events.warning(format!("{name} of {folder}/.env is not injected: {reason}"));
    }
    let refused_variables = injection.refused.into_iter().map(|variable| (variable.name, variable.reason)).collect();
    Ok(Some(Desired { objects: injection.objects, refused_variables }))
}

/// The variables of the web application.
fn variables(context: &Context<'_>) -> Result<Vec<(String, String)>> {
    let Some(document) = dot_env::read(&context.project.web().dot_env())? else { return Ok(Vec::new()) };
    for problem in document.problems() {
        context.events.warning(format!("{}/.env: {problem}", context.project.config.web_folder));
    }
    Ok(document.variables())
}

/// The mistake that there are no manifests.
pub(super) fn nothing(context: &Context<'_>) -> Fault {
    Fault::new(FaultClass::Config, format!("there are no manifests in {}", place(context)))
        .because("no .json, .yaml or .yml file there holds an object")
        .because("nothing was applied, and nothing deleted")
        .next("write .k3s-vm/manifests/base.json    # an empty List in it deletes what was applied before")
}
