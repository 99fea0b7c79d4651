//! Waiting for the Kubernetes API and the node.

use cluster::{ApiProbe, ClusterClient, Credentials, Kubeconfig};
use host::deadline::Deadline;
use model::Result;
use model::config::Ports;
use model::instance::InstanceName;

use crate::instance::wait::watch::GuestWatch;

/// Access to a cluster that has proved to be ours.
pub(crate) struct Access {
    /// The kubeconfig for the host: the forwarded port, and names after the instance.
    pub(crate) kubeconfig: Kubeconfig,
    /// The administrator's credentials.
    pub(crate) admin: Credentials,
    /// A client with that kubeconfig.
    pub(crate) client: ClusterClient,
}

/// Waits until the API behind the forwarded port proves by its CA to be ours, and is ready.
///
/// # Errors
/// A Port error when another cluster answers; Timeout and Guest errors of the watch.
pub(crate) fn wait(
    watch: &mut GuestWatch<'_>,
    name: &InstanceName,
    ports: &Ports,
    admin: &Credentials,
    deadline: Deadline,
) -> Result<Access> {
    let address = ports.api_address();
    let probe = ApiProbe::new(address, admin)?;
    watch.wait(&format!("the Kubernetes API on {address}"), deadline, |left| probe.look(left))?;
    let kubeconfig = admin.for_host(name, ports.bind, ports.api);
    let client = ClusterClient::new(&kubeconfig)?;
    Ok(Access { admin: admin.clone(), kubeconfig, client })
}

/// Waits until the node is Ready. Returns its kubelet's version.
///
/// # Errors
/// Timeout and Guest errors of the watch.
pub(crate) fn wait_for_node(
    watch: &mut GuestWatch<'_>,
    access: &Access,
    node: &str,
    deadline: Deadline,
) -> Result<String> {
    watch.wait(&format!("node {node}"), deadline, |left| access.client.look_node(node, left))
}
