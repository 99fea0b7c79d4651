//! What an apply depends on: a cluster to which the same inputs were applied needs no other apply.

use model::Result;

use crate::apply::images::sources;
use crate::context::Context;
use crate::project::applied_inputs::AppliedInputs;
use crate::project::desired::Desired;

/// What is to be applied now, without the container images, whose digests are known after their build. Called before the
/// build, so that sources that change during it count as changed.
///
/// # Errors
/// Errors of reading sources.
pub(crate) fn without_images(context: &Context<'_>, desired: &Desired) -> Result<AppliedInputs> {
    let (root, config) = (context.project.paths.root(), &context.project.config);
    Ok(AppliedInputs {
        manifests: desired.digest(&context.project),
        images: Vec::new(),
        sources: sources::digest(root, &config.images)?,
    })
}
