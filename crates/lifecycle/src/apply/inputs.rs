//! What an apply depends on: a cluster to which the same inputs were applied needs no other apply.

use model::Result;
use serde::{Deserialize, Serialize};

use crate::apply::images::sources;
use crate::context::Context;
use crate::project::desired::Desired;

/// What was applied to a pristine cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct AppliedInputs {
    /// A digest of manifests, variables and the rules of their injection.
    pub(crate) manifests: String,
    /// Name and digest of each container image of the configuration.
    pub(crate) images: Vec<(String, String)>,
    /// A digest of what the images were built of ([`sources::digest`]), if the configuration names the sources.
    pub(crate) sources: Option<String>,
}

impl AppliedInputs {
    /// What is to be applied now, without the container images, whose digests are known after their build. Called before the
    /// build, so that sources that change during it count as changed.
    ///
    /// # Errors
    /// Errors of reading sources.
    pub(crate) fn without_images(context: &Context<'_>, desired: &Desired) -> Result<Self> {
        let (root, config) = (context.project.paths.root(), &context.project.config);
        Ok(AppliedInputs {
            manifests: desired.digest(&context.project),
            images: Vec::new(),
            sources: sources::digest(root, &config.images)?,
        })
    }
}
