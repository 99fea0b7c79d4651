//! The kubeconfig of the guest, read and rewritten for the place it is used from.
//!
//! Pure: text in, text out. Fields that it does not know are kept.

#![allow(unused_variables, dead_code, clippy::unimplemented)]

use model::Result;
use model::instance::InstanceName;
use model::port::Port;
use serde_json::Value;

/// The API server's address for programs that run in a pod.
pub const SERVER_INSIDE_CLUSTER: &str = "https://kubernetes.default.svc:443";

/// A kubeconfig with one cluster, one user and one context in use.
#[derive(Debug, Clone, PartialEq)]
pub struct Kubeconfig {
    document: Value,
}

impl Kubeconfig {
    /// Reads YAML or JSON; `shown` names the file in messages.
    ///
    /// # Errors
    /// A Cluster fault where the text is no kubeconfig, has no current context, or its certificates are not inline.
    pub fn parse(shown: &str, text: &str) -> Result<Self> {
        unimplemented!()
    }

    /// The same credentials for programs on the host: server `https://HOST:PORT`, and cluster, user and context named
    /// for the instance. Where `host` is no loopback address, the certificate is checked for `localhost`, which the
    /// guest contract puts in it.
    #[must_use]
    pub fn for_host(&self, name: &InstanceName, host: std::net::IpAddr, port: Port) -> Self {
        unimplemented!()
    }

    /// The same credentials for programs in a pod: server [`SERVER_INSIDE_CLUSTER`].
    #[must_use]
    pub fn inside_cluster(&self, name: &InstanceName) -> Self {
        unimplemented!()
    }

    /// YAML, `apiVersion` and `kind` first.
    pub fn to_yaml(&self) -> String {
        unimplemented!()
    }

    /// JSON on one line, `apiVersion` and `kind` first.
    pub fn to_json(&self) -> String {
        unimplemented!()
    }

    /// Base64 (RFC 4648 section 4, padded, one line) of [`Kubeconfig::to_json`]: the value of `KUBECONFIG_PRIMARY`.
    pub fn to_json_base64(&self) -> String {
        unimplemented!()
    }

    /// The server's address, `https://127.0.0.1:6443`.
    pub fn server(&self) -> &str {
        unimplemented!()
    }

    /// The name of the current context.
    pub fn context(&self) -> &str {
        unimplemented!()
    }

    /// The certificate authority of the cluster, PEM.
    pub fn certificate_authority(&self) -> &str {
        unimplemented!()
    }

    /// The client's certificate and key, PEM, where the user has them.
    pub fn client_identity(&self) -> Option<(&str, &str)> {
        unimplemented!()
    }
}
