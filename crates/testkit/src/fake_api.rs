//! The part of a cluster's API that a start and `status` use: TLS with a certificate of its own, `/readyz`, the node, and the
//! Services that a cluster depends on.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::http_server::{Answer, HttpServer, Request};

/// The server; its threads end with the test program.
#[derive(Debug)]
pub struct FakeApi {
    server: HttpServer,
    kubeconfig: String,
}

impl FakeApi {
    /// Starts a Ready API with the Services that a cluster depends on.
    ///
    /// # Panics
    /// When no port or no certificate can be had.
    pub fn start() -> Self {
        let server = HttpServer::start_encrypted("127.0.0.1", |request, _| answer(request));
        let client = rcgen::generate_simple_self_signed(["admin".to_owned()]).expect("a certificate");
        let data = |text: &str| BASE64.encode(text);
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {
                "server": "https://127.0.0.1:6443", "certificate-authority-data": data(server.certificate()),
            }}],
            "users": [{"name": "u", "user": {
                "client-certificate-data": data(&client.cert.pem()),
                "client-key-data": data(&client.signing_key.serialize_pem()),
            }}],
        });
        FakeApi { server, kubeconfig: kubeconfig.to_string() }
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The admin kubeconfig, as the guest has it.
    pub fn kubeconfig(&self) -> &str {
        &self.kubeconfig
    }
}

fn answer(request: &Request) -> Answer {
    let service = |address: &str, port: u16, protocol: &str| {
        object(&json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "one"},
            "spec": {"clusterIP": address, "ports": [{"port": port, "protocol": protocol}]},
        }))
    };
    match request.path.split('?').next().unwrap_or_default() {
        "/readyz" => Answer::body("ok"),
        "/api/v1/nodes/k3s-vm" => object(&json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": "k3s-vm"},
            "status": {
                "conditions": [{"type": "Ready", "status": "True"}],
                "nodeInfo": {"kubeletVersion": "v1.0.0"},
            },
        })),
        "/api/v1/namespaces/default/services/kubernetes" => service("10.43.0.1", 443, "TCP"),
        "/api/v1/namespaces/kube-system/services/kube-dns" => service("10.43.0.10", 53, "UDP"),
        "/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices" => object(&json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSliceList", "metadata": {},
            "items": [{
                "metadata": {"name": "kube-dns-1"}, "addressType": "IPv4",
                "endpoints": [{"addresses": ["10.42.0.2"], "conditions": {"ready": true}}],
            }],
        })),
        _ => Answer::status(404),
    }
}

fn object(value: &Value) -> Answer {
    Answer::body(value.to_string()).with("Content-Type", "application/json")
}
