//! What was applied to a cluster, to tell whether another apply would change anything.

use serde::{Deserialize, Serialize};

/// What was applied to a pristine cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct AppliedInputs {
    /// A digest of manifests, variables and the rules of their injection ([`super::desired::Desired::digest`]).
    pub(crate) manifests: String,
    /// Name and digest of each container image of the configuration.
    pub(crate) images: Vec<(String, String)>,
    /// A digest of what the images were built of, if the configuration names the sources.
    pub(crate) sources: Option<String>,
}
