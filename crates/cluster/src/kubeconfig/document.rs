//! The kubeconfig that this program writes: one cluster, one user, one context, all named for the instance.
//!
//! It is never parsed from text: it is made of [`crate::Credentials`] or of a token, and can name neither a program to
//! run, a file to read nor a proxy. The format is that of `k8s.io/client-go/tools/clientcmd/api/v1`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kube::config::AuthInfo;
use model::instance::InstanceName;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Map, Value, json};

use super::token::Token;
use crate::yaml;

/// The API server's address for programs that run in a pod.
pub const SERVER_INSIDE_CLUSTER: &str = "https://kubernetes.default.svc:443";

/// How the user of a kubeconfig authenticates.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Login {
    /// A client certificate and its key, PEM.
    Certificate { certificate: String, key: String },
    /// A bearer token.
    Token(Token),
}

/// A kubeconfig with one cluster, one user and one context.
#[derive(Clone, PartialEq, Eq)]
pub struct Kubeconfig {
    /// The name of the cluster, the user and the context.
    pub(crate) name: String,
    pub(crate) server: String,
    /// The name that the server's certificate must have, where that is not the server's address.
    pub(crate) certificate_name: Option<&'static str>,
    /// PEM.
    pub(crate) certificate_authority: String,
    pub(crate) login: Login,
}

/// Credentials stay out of debug output.
impl std::fmt::Debug for Kubeconfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kubeconfig").field("server", &self.server).field("context", &self.name).finish_non_exhaustive()
    }
}

impl Kubeconfig {
    /// For programs in a pod: server [`SERVER_INSIDE_CLUSTER`], and a token of their own. It has the default instance's
    /// name in all instances, so that an application saved with one instance fits the others.
    pub fn inside_cluster(certificate_authority: &str, token: Token) -> Self {
        Kubeconfig {
            name: InstanceName::default().as_str().to_owned(),
            server: SERVER_INSIDE_CLUSTER.to_owned(),
            certificate_name: None,
            certificate_authority: certificate_authority.to_owned(),
            login: Login::Token(token),
        }
    }

    /// `apiVersion` and `kind` are there because clients other than kubectl need them.
    fn document(&self) -> Value {
        let data = |pem: &str| Value::from(STANDARD.encode(pem));
        let mut cluster = Map::new();
        cluster.insert("certificate-authority-data".to_owned(), data(&self.certificate_authority));
        cluster.insert("server".to_owned(), self.server.as_str().into());
        if let Some(name) = self.certificate_name {
            cluster.insert("tls-server-name".to_owned(), name.into());
        }
        let user = match &self.login {
            Login::Certificate { certificate, key } => {
                json!({"client-certificate-data": data(certificate), "client-key-data": data(key)})
            }
            Login::Token(token) => json!({"token": token.as_str()}),
        };
        let name = &self.name;
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": cluster}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
            "current-context": name,
            "users": [{"name": name, "user": user}],
        })
    }

    /// The kubeconfig as YAML.
    pub fn to_yaml(&self) -> String {
        yaml::write(&self.document())
    }

    /// The kubeconfig as JSON on one line.
    pub fn to_json(&self) -> String {
        self.document().to_string()
    }

    /// Base64 (RFC 4648 section 4, padded, one line) of [`Kubeconfig::to_json`]: the value of `KUBECONFIG_PRIMARY`.
    pub fn to_json_base64(&self) -> String {
        STANDARD.encode(self.to_json())
    }

    /// The server's address, `https://127.0.0.1:6443`.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The name of the context.
    pub fn context(&self) -> &str {
        &self.name
    }

    /// The configuration of a client. It is put together by hand: the library's reader of kubeconfigs would also run
    /// programs, read files and take proxies from the environment.
    ///
    /// # Errors
    /// Why it cannot be used, as a part of a sentence.
    pub(crate) fn client_config(&self) -> Result<kube::Config, String> {
        let server =
            self.server.parse().map_err(|error| format!("the server {} is no address: {error}", self.server))?;
        let mut config = kube::Config::new(server);
        let authorities: Result<Vec<Vec<u8>>, _> =
            CertificateDer::pem_slice_iter(self.certificate_authority.as_bytes())
                .map(|certificate| certificate.map(|certificate| certificate.to_vec()))
                .collect();
        config.root_cert = Some(authorities.map_err(|error| format!("the certificate authority: {error}"))?);
        config.tls_server_name = self.certificate_name.map(str::to_owned);
        config.auth_info = match &self.login {
            Login::Certificate { certificate, key } => AuthInfo {
                client_certificate_data: Some(STANDARD.encode(certificate)),
                client_key_data: Some(STANDARD.encode(key).into()),
                ..AuthInfo::default()
            },
            Login::Token(token) => AuthInfo { token: Some(token.as_str().into()), ..AuthInfo::default() },
        };
        Ok(config)
    }
}

#[cfg(test)]
mod tests;
