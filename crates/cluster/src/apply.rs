//! Server-side apply of manifests, and what it changed.

#![allow(unused_variables, dead_code, clippy::unimplemented)]

use std::time::Duration;

use model::Result;
use serde::Serialize;

use crate::client::ClusterClient;
use crate::manifest::ManifestObject;

/// The name under which the cluster records which fields are ours. Never changes: a new name would own nothing.
pub const FIELD_MANAGER: &str = "k3s-vm";

/// What an apply did to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// It was not there.
    Created,
    /// It was there and differs now.
    Configured,
    /// It was as the manifest says.
    Unchanged,
}

/// One object that was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Applied {
    /// `Deployment`.
    pub kind: String,
    /// `apps/v1`.
    pub api_version: String,
    /// The namespace, or nothing for an object of the whole cluster.
    pub namespace: Option<String>,
    /// The name.
    pub name: String,
    /// What happened to it.
    pub change: Change,
}

/// How to apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApplyOptions {
    /// For the whole apply, the waits for new kinds included.
    pub deadline: Duration,
    /// Whether fields of other managers are taken over.
    pub force: bool,
    /// How many requests run at once.
    pub concurrency: usize,
}

impl Default for ApplyOptions {
    fn default() -> Self {
        ApplyOptions { deadline: Duration::from_secs(120), force: false, concurrency: 16 }
    }
}

impl ClusterClient {
    /// Applies `objects` wave by wave ([`crate::manifest::wave`]); the result is in the order of the objects sorted so.
    ///
    /// # Errors
    /// A Cluster fault with one reason for each object that was refused: unknown kind, missing namespace, conflict
    /// with the field and its manager, immutable field. The waves after the first one with a fault are not sent.
    pub fn apply(&self, objects: &[ManifestObject], options: &ApplyOptions) -> Result<Vec<Applied>> {
        unimplemented!()
    }
}
