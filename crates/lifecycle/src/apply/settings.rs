//! How to apply: the target, the user's flags, and the set of objects that belongs to the project.

use std::time::Duration;

use cluster::{ApplyOptions, ApplySet, ClusterClient, KubeconfigContext};
use host::deadline::Deadline;

use crate::context::Context;

/// The ConfigMap that lists what a project has applied. In the VM's cluster, which has one project, the name is fixed.
const SET_NAME: &str = "k3s-vm-applied";
/// The namespace of that ConfigMap in the VM's cluster.
const SET_NAMESPACE: &str = "default";

/// The cluster to apply to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The cluster of the project's instance.
    Instance,
    /// Any other.
    Kubeconfig(KubeconfigContext),
}

/// How to apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The cluster.
    pub target: Target,
    /// How the objects are applied.
    pub settings: Settings,
    /// Whether to wait for the roll-out.
    pub wait: bool,
    /// Instead of the configured deadline.
    pub timeout: Option<Duration>,
}

impl Options {
    pub(super) fn deadline(&self, context: &Context<'_>) -> Deadline {
        Deadline::after(self.timeout.unwrap_or(context.project.config.timeouts.start))
    }
}

/// How objects are applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Whether to take over fields of other managers.
    pub force: bool,
    /// Whether to delete objects that have left the manifests.
    pub prune: bool,
    /// Whether it is an error that there are no manifests.
    pub required: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { force: false, prune: true, required: true }
    }
}

impl Settings {
    /// The options for the project's own instance.
    pub(super) fn own(self, deadline: Duration) -> ApplyOptions {
        self.options(Some(ApplySet::new(SET_NAME, SET_NAMESPACE)), deadline)
    }

    /// The options for a cluster that others may use as well. Without a configured name the project has no set there: another
    /// project could use the same one, and delete what is in it.
    pub(super) fn shared(self, context: &Context<'_>, client: &ClusterClient, deadline: Duration) -> ApplyOptions {
        let name = context.project.config.apply_name.as_ref();
        let set = name.map(|name| ApplySet::new(format!("{SET_NAME}-{name}"), client.default_namespace()));
        if set.is_none() && self.prune {
            context.events.note(
                "nothing is pruned: say what this project is called there, in .k3s-vm/config.toml: [apply] name = \"…\""
                    .to_owned(),
            );
        }
        self.options(set, deadline)
    }

    fn options(self, set: Option<ApplySet>, deadline: Duration) -> ApplyOptions {
        ApplyOptions { deadline, force: self.force, prune: self.prune, set, ..ApplyOptions::default() }
    }
}
