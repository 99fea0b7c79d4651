//! What an apply depends on, so that a cluster to which the very same was applied before needs none.

use model::Result;
use serde::{Deserialize, Serialize};

use crate::apply::images;
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
    /// A digest of what the images were built of ([`images::sources::digest`]), where that was told.
    pub(crate) sources: Option<String>,
}

impl AppliedInputs {
    /// What is to be applied now, but for the container images, whose digests their build gives. To be asked before that:
    /// sources that change during it are other ones than those it began with.
    ///
    /// # Errors
    /// Errors of reading sources.
    pub(crate) fn without_images(context: &Context<'_>, desired: &Desired) -> Result<Self> {
        let (root, config) = (context.project.paths.root(), &context.project.config);
        Ok(AppliedInputs {
            manifests: desired.digest(context),
            images: Vec::new(),
            sources: images::sources::digest(root, &config.images)?,
        })
    }
}
