//! Whether the cluster and its Deployments are ready: one look each, and why not.

#![allow(unused_variables, dead_code, clippy::unimplemented)]

use std::fmt;
use std::time::Duration;

use host::wait::Look;
use model::{EventSink, Result};

use crate::client::ClusterClient;
use crate::manifest::ManifestObject;

/// A Deployment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeploymentName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for DeploymentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "deployment {}/{}", self.namespace, self.name)
    }
}

/// The Deployments among `objects`, in their order.
pub fn deployments(objects: &[ManifestObject]) -> Vec<DeploymentName> {
    unimplemented!()
}

impl ClusterClient {
    /// One look at a node: is its condition `Ready` true? Ready gives its kubelet's version.
    ///
    /// # Errors
    /// None for a server that does not answer: that is an observation.
    pub fn look_node(&self, node: &str, left: Duration) -> Result<Look<String>> {
        unimplemented!()
    }

    /// One look at a Deployment, by the rule of `kubectl rollout status`. The observation names each pod that cannot
    /// start, with its reason.
    ///
    /// # Errors
    /// A Cluster fault where the rollout can no longer succeed (`ProgressDeadlineExceeded`).
    pub fn look_rollout(&self, deployment: &DeploymentName, left: Duration) -> Result<Look<()>> {
        unimplemented!()
    }

    /// Waits until all of `deployments` are rolled out; progress goes to `events`.
    ///
    /// # Errors
    /// A Timeout fault with the last observation and what [`ClusterClient::explain_rollout`] says.
    pub fn wait_rollouts(
        &self,
        deployments: &[DeploymentName],
        deadline: Duration,
        events: &dyn EventSink,
    ) -> Result<()> {
        unimplemented!()
    }

    /// Why a Deployment is not rolled out: waiting reasons of its pods and the last messages of their events, newest
    /// last, at most ten lines. Empty where the cluster does not answer.
    pub fn explain_rollout(&self, deployment: &DeploymentName) -> Vec<String> {
        unimplemented!()
    }
}
