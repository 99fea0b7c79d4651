//! Server-side apply of manifests: what is asked for, and what it changed.
//!
//! How it goes about it belongs to `apply_run`, which objects are sent in which order to [`crate::manifest_order`],
//! what a refusal means to `refusal`, what leaves the manifests to `prune`.

use std::time::Duration;

use model::{EventSink, Result};
use serde::Serialize;

use crate::apply_run::Run;
use crate::apply_wave::Mode;
use crate::client::ClusterClient;
use crate::inventory::ApplySet;
use crate::manifest::ManifestObject;
use crate::manifest_order::Wave;
use crate::prune::{Books, Pruned};

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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplyOptions {
    /// For the whole apply, the waits for new kinds included.
    pub deadline: Duration,
    /// Whether fields of other managers and objects of other projects are taken over.
    pub force: bool,
    /// How many requests run at once. Each has a connection of its own, and a TLS handshake costs a guest without KVM
    /// more than a request does.
    pub concurrency: usize,
    /// The set whose members are marked, listed, and pruned when they leave it; without one nothing is.
    pub set: Option<ApplySet>,
    /// Whether objects that left the set are deleted; otherwise they stay in its list.
    pub prune: bool,
}

impl Default for ApplyOptions {
    fn default() -> Self {
        ApplyOptions { deadline: Duration::from_secs(120), force: false, concurrency: 4, set: None, prune: true }
    }
}

/// What an apply did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApplyOutcome {
    /// The objects of the manifests, in the order in which they were applied.
    pub applied: Vec<Applied>,
    /// The objects that have left the manifests, in the order in which they were deleted.
    pub pruned: Vec<Pruned>,
}

impl ClusterClient {
    /// ApplyOutcome `objects` wave by wave ([`crate::manifest_order::Wave`]), then deletes what has left the set since the
    /// last apply. An object that needs a namespace and names none goes to [`ClusterClient::default_namespace`].
    ///
    /// The list of the set has old and new members before anything is applied, and exactly the new ones after the
    /// last deletion: whatever ends an apply in between, the next one knows everything.
    ///
    /// # Errors
    /// A Cluster error with one reason for each object that was refused: unknown kind, missing namespace, conflict
    /// with the field and its manager, immutable field. Nothing is sent where a kind is unknown; the waves after the
    /// first one with a refused object are only checked (`dryRun`), so that all refusals are told at once, and
    /// nothing is deleted.
    pub fn apply(
        &self,
        objects: &[ManifestObject],
        options: &ApplyOptions,
        events: &dyn EventSink,
    ) -> Result<ApplyOutcome> {
        let marked: Vec<ManifestObject> = match &options.set {
            Some(set) => objects.iter().map(|object| set.mark(object)).collect(),
            None => objects.to_vec(),
        };
        let all: Vec<&ManifestObject> = marked.iter().collect();
        let mut run = Run::new(self, options, events, all.len());
        run.check(&all)?;
        let mut books = match &options.set {
            Some(set) => Some(Books::open(&run, set, &all)?),
            None => None,
        };
        let mut refusals = Vec::new();
        for wave in Wave::ALL {
            // The namespace of the list may be one that the first wave brings.
            if let Some(books) = &mut books
                && refusals.is_empty()
            {
                books.announce(&run, wave)?;
            }
            let members: Vec<&ManifestObject> = all.iter().copied().filter(|object| Wave::of(object) == wave).collect();
            if members.is_empty() {
                continue;
            }
            let mode = if refusals.is_empty() { Mode::Apply } else { Mode::Check };
            refusals.extend(run.send(&members, mode)?);
            if refusals.is_empty() {
                run.wait_for_kinds(&members, &all)?;
            }
        }
        run.finish();
        run.refuse(refusals)?;
        let pruned = match books {
            Some(books) => books.settle(&mut run)?,
            None => Vec::new(),
        };
        Ok(ApplyOutcome { applied: run.applied, pruned })
    }
}
