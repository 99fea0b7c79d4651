//! What an apply depends on, so that a cluster to which the very same was applied before needs none.

use cluster::manifest_files;
use host::digest::Sha256;
use model::Result;
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::dot_env;
use crate::images;

/// Variables that the tool writes itself.
pub(super) const OWN_VARIABLES: [&str; 2] = ["KUBECONFIG", "KUBECONFIG_PRIMARY"];

/// What was applied to a pristine cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct AppliedInputs {
    /// A digest of manifests, variables and the rules of their injection.
    pub(crate) manifests: String,
    /// Name and digest of each container image of the configuration.
    pub(crate) images: Vec<(String, String)>,
    /// A digest of what the images were built of ([`images::sources::digest`]), where that was told.
    pub(crate) sources: Option<String>,
}

impl AppliedInputs {
    /// What is to be applied now, but for the container images, whose digests their build gives. To be asked before that:
    /// sources that change during it are other ones than those it began with.
    ///
    /// # Errors
    /// Faults of reading manifests, variables and sources.
    pub(crate) fn without_images(context: &Context<'_>) -> Result<Self> {
        let (root, config) = (context.project.paths.root(), &context.project.config);
        Ok(AppliedInputs {
            manifests: manifests_digest(context)?,
            images: Vec::new(),
            sources: images::sources::digest(root, &config.images)?,
        })
    }
}

/// The digest of everything but the images.
///
/// # Errors
/// Faults of reading manifests and variables.
pub(crate) fn manifests_digest(context: &Context<'_>) -> Result<String> {
    let config = &context.project.config;
    let manifests = manifest_files::read_all(context.project.paths.root(), &config.manifests)?;
    let document = dot_env::read(&context.project.web().dot_env())?;
    let variables = document.map(|document| document.variables()).unwrap_or_default();
    let variables: Vec<_> = variables.into_iter().filter(|(name, _)| !OWN_VARIABLES.contains(&name.as_str())).collect();
    // The order and the names of the fields are those of this version, which is a part of it.
    let text = format!("{} {manifests:?} {variables:?} {:?}", env!("CARGO_PKG_VERSION"), config.inject);
    Ok(Sha256::of(text.as_bytes()).to_string())
}
