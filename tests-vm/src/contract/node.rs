//! The node as the API reports it, with a client of its own: k3s-vm's asks for less.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cluster::Kubeconfig;
use host::wait::Look;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node as Object;
use kube::Api;
use kube::api::ListParams;

/// One request.
const LONGEST: Duration = Duration::from_secs(30);

/// A node of the cluster, read from the API.
pub(super) struct Node {
    name: String,
    client: kube::Client,
    runtime: tokio::runtime::Runtime,
}

impl Node {
    /// The node of that name. Nothing is sent yet.
    pub(super) fn of(kubeconfig: &Kubeconfig, name: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let document = kube::config::Kubeconfig::from_yaml(&kubeconfig.to_yaml()).expect("a kubeconfig");
        let client = runtime.block_on(async {
            let options = kube::config::KubeConfigOptions::default();
            let mut config = kube::Config::from_custom_kubeconfig(document, &options).await.expect("a configuration");
            config.proxy_url = None;
            kube::Client::try_from(config).expect("a client")
        });
        Node { name: name.to_owned(), client, runtime }
    }

    /// The names of all nodes.
    pub(super) fn names(&self) -> Vec<String> {
        let nodes: Api<Object> = Api::all(self.client.clone());
        let list = self.ask(nodes.list(&ListParams::default())).expect("the nodes");
        list.items.into_iter().filter_map(|node| node.metadata.name).collect()
    }

    /// The status of its condition Ready: `True`, `False` or `Unknown`.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub(super) fn readiness(&self) -> Result<String, String> {
        let nodes: Api<Object> = Api::all(self.client.clone());
        let conditions = self.ask(nodes.get(&self.name))?.status.and_then(|status| status.conditions);
        let ready = conditions.unwrap_or_default().into_iter().find(|condition| condition.type_ == "Ready");
        ready.map(|condition| condition.status).ok_or_else(|| "it has no condition Ready".to_owned())
    }

    /// Whether its kubelet has renewed its lease at `moment` or later, by the guest's clock.
    pub(super) fn look_lease(&self, moment: SystemTime) -> Look<()> {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), "kube-node-lease");
        let lease = match self.ask(leases.get(&self.name)) {
            Ok(lease) => lease,
            Err(why) => return Look::NotYet(why),
        };
        let renewed = lease.spec.and_then(|spec| spec.renew_time).map_or(0, |time| time.0.as_second());
        let least = moment.duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        if u64::try_from(renewed).is_ok_and(|renewed| renewed >= least) {
            Look::Ready(())
        } else {
            Look::NotYet(format!("it was renewed at {renewed}, {least} is wanted"))
        }
    }

    fn ask<T>(&self, request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, String> {
        let answer = self.runtime.block_on(async { tokio::time::timeout(LONGEST, request).await });
        answer.map_err(|_| format!("no answer within {LONGEST:?}"))?.map_err(|error| error.to_string())
    }
}

/// The HTTP status with which the kubelet at the host's `port` refuses to list its pods without credentials. Its
/// certificate is not checked.
///
/// # Errors
/// The kubelet did not answer, or answered the request.
pub(super) fn anonymous(port: model::port::Port) -> Result<u16, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let address = format!("https://127.0.0.1:{port}").parse().expect("an address");
    let mut config = kube::Config::new(address);
    config.accept_invalid_certs = true;
    config.proxy_url = None;
    let answer = runtime.block_on(async {
        let client = kube::Client::try_from(config).expect("a client");
        let request = kube::core::Request::new("/pods").list(&ListParams::default()).expect("a request");
        tokio::time::timeout(LONGEST, client.request_text(request)).await
    });
    match answer.map_err(|_| format!("no answer within {LONGEST:?}"))? {
        Ok(_) => Err("it answers without credentials".to_owned()),
        Err(kube::Error::Api(status)) => Ok(status.code),
        Err(error) => Err(error.to_string()),
    }
}
