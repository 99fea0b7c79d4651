//! How manifests are applied: flags of the user, and the set of objects that belongs to the project.

use std::time::Duration;

use cluster::{ApplyOptions, ApplySet, ClusterClient};

use crate::context::Context;

/// The ConfigMap that lists what a project has applied: the VM's cluster is one project's, so the name is fixed there.
const SET_NAME: &str = "k3s-vm-applied";
/// Where that ConfigMap is in the VM's cluster.
const SET_NAMESPACE: &str = "default";

/// What the user says on how to apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Whether fields of other managers are taken over.
    pub force: bool,
    /// Whether objects that left the manifests are deleted.
    pub prune: bool,
    /// Whether it is a mistake that there are no manifests.
    pub required: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { force: false, prune: true, required: true }
    }
}

impl Settings {
    /// For the project's own instance.
    pub(super) fn own(self, deadline: Duration) -> ApplyOptions {
        self.options(Some(ApplySet::new(SET_NAME, SET_NAMESPACE)), deadline)
    }

    /// For a cluster that others may use as well: a project that does not say its name has no set there, since another
    /// project in a directory of the same name could take it for its own and delete what is in it.
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
