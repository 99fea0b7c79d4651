//! The Deployments of the manifests and of the cluster.

use std::fmt;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use model::Result;

use crate::client::ClusterClient;
use crate::manifest::ManifestObject;

/// The prefix of the names of Kubernetes' own namespaces ("Initial namespaces" of its documentation).
const OWN_NAMESPACES: &str = "kube-";

/// The name of a Deployment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeploymentName {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

impl fmt::Display for DeploymentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "deployment {}/{}", self.namespace, self.name)
    }
}

/// The Deployments among `objects`, in their order.
pub fn deployments(objects: &[ManifestObject]) -> Vec<DeploymentName> {
    objects
        .iter()
        .filter(|object| object.is_deployment())
        .map(|object| DeploymentName {
            namespace: object.namespace().unwrap_or("default").to_owned(),
            name: object.name().to_owned(),
        })
        .collect()
}

impl ClusterClient {
    /// The Deployments of users, sorted by name: those outside of Kubernetes' own namespaces. Waits at most `limit`.
    ///
    /// # Errors
    /// A Cluster, Timeout or Port error of the request.
    pub fn applications(&self, limit: Duration) -> Result<Vec<DeploymentName>> {
        let api: Api<Deployment> = Api::all(self.kube().clone());
        let parameters = ListParams::default();
        let list = self.request("the Deployments", limit, api.list(&parameters))?;
        let mut names: Vec<DeploymentName> = list
            .iter()
            .map(|one| DeploymentName { namespace: one.namespace().unwrap_or_default(), name: one.name_any() })
            .filter(|name| !name.namespace.starts_with(OWN_NAMESPACES))
            .collect();
        names.sort();
        Ok(names)
    }
}
