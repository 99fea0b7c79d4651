//! Which applications are in the cluster: the Deployments outside of the namespaces of Kubernetes itself.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use model::Result;

use crate::client::ClusterClient;
use crate::ready::DeploymentName;

/// What the names of Kubernetes' own namespaces begin with ("Initial namespaces" of its documentation).
const OWN_NAMESPACES: &str = "kube-";

impl ClusterClient {
    /// The Deployments of users, in the order of their names; the answer is waited for at most `limit`.
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
