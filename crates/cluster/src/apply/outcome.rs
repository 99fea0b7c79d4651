//! The outcome of an apply, object by object.

use serde::Serialize;

/// What an apply did to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// It did not exist.
    Created,
    /// It existed and has changed.
    Configured,
    /// It already was as the manifest says.
    Unchanged,
}

/// One object that was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Applied {
    /// `kind`: `Deployment`.
    pub kind: String,
    /// `apiVersion`: `apps/v1`.
    pub api_version: String,
    /// The namespace; `None` for an object of the whole cluster.
    pub namespace: Option<String>,
    /// `metadata.name`.
    pub name: String,
    /// What the apply did to it.
    pub change: Change,
}

/// What an apply did to an object that has left the manifests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", content = "reason", rename_all = "kebab-case")]
pub enum PruneOutcome {
    /// It was deleted; in a preview, it would be.
    Deleted,
    /// It was left in place; the text says why.
    Kept(String),
}

/// One object that has left the manifests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pruned {
    /// `kind`: `Deployment`.
    pub kind: String,
    /// `apiVersion`: `apps/v1`.
    pub api_version: String,
    /// The namespace; `None` for an object of the whole cluster.
    pub namespace: Option<String>,
    /// `metadata.name`.
    pub name: String,
    /// What the apply did to it.
    #[serde(flatten)]
    pub outcome: PruneOutcome,
}

/// What an apply did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApplyOutcome {
    /// The objects of the manifests, in the order in which they were applied.
    pub applied: Vec<Applied>,
    /// The objects that have left the manifests, in the order in which they were deleted.
    pub pruned: Vec<Pruned>,
}
