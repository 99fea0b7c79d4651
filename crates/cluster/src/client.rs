//! The connection to a cluster: a Kubernetes client whose every call has a deadline, without async for its callers.

#![allow(unused_variables, dead_code, clippy::unimplemented)]

use std::time::Duration;

use model::Result;

use crate::kubeconfig::Kubeconfig;

/// A connection to one cluster, by the credentials of one kubeconfig and by its certificate authority alone.
///
/// Calls block. The connection is made by the first call and kept.
pub struct ClusterClient {
    runtime: tokio::runtime::Runtime,
    client: kube::Client,
    server: String,
}

impl ClusterClient {
    /// Prepares a client; no byte is sent.
    ///
    /// # Errors
    /// A Cluster fault where the credentials cannot be used.
    pub fn new(kubeconfig: &Kubeconfig) -> Result<Self> {
        unimplemented!()
    }

    /// The server's address, for messages.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The server's version, `v1.37.2`.
    ///
    /// # Errors
    /// A Cluster fault, or a Timeout fault after `deadline`.
    pub fn version(&self, deadline: Duration) -> Result<String> {
        unimplemented!()
    }
}
