//! The kubeconfig of the guest, read and rewritten for the place it is used from.
//!
//! Pure: text in, text out. Fields that it does not know are kept. The format is that of
//! `k8s.io/client-go/tools/clientcmd/api/v1`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::instance::InstanceName;
use model::port::Port;
use model::{Fault, FaultClass, Result};
use serde_json::{Map, Value};

use crate::yaml;

/// The API server's address for programs that run in a pod.
pub const SERVER_INSIDE_CLUSTER: &str = "https://kubernetes.default.svc:443";

/// A name that the guest contract puts into the API's certificate.
pub(crate) const CERTIFICATE_NAME: &str = "localhost";

/// A kubeconfig whose current context has a cluster with an inline authority.
#[derive(Clone, PartialEq)]
pub struct Kubeconfig {
    document: Map<String, Value>,
    context: String,
    cluster: String,
    user: String,
    server: String,
    certificate_authority: String,
    identity: Option<(String, String)>,
}

/// Credentials stay out of debug output.
impl std::fmt::Debug for Kubeconfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kubeconfig")
            .field("server", &self.server)
            .field("context", &self.context)
            .finish_non_exhaustive()
    }
}

impl Kubeconfig {
    /// Reads YAML or JSON; `shown` names the file in messages.
    ///
    /// # Errors
    /// A Cluster fault where the text is no kubeconfig, has no current context, or its certificates are not inline.
    pub fn parse(shown: &str, text: &str) -> Result<Self> {
        let unusable = |why: String| {
            Fault::new(FaultClass::Cluster, format!("{shown} is no kubeconfig that can be used")).because(why)
        };
        let value = yaml::read(text).map_err(|mistake| {
            unusable(format!("line {}, column {}: {}", mistake.line, mistake.column, mistake.message))
        })?;
        let Value::Object(document) = value else {
            return Err(unusable("it does not hold a map of keys".to_owned()));
        };
        Self::from_document(document).map_err(unusable)
    }

    fn from_document(document: Map<String, Value>) -> Result<Self, String> {
        let context = match document.get("current-context").and_then(Value::as_str) {
            Some(name) if !name.is_empty() => name.to_owned(),
            _ => return Err("current-context is not set".to_owned()),
        };
        let binding = entry(&document, "contexts", &context, "context")?;
        let cluster = text(binding, "cluster", || format!("context {context}"))?;
        let user = text(binding, "user", || format!("context {context}"))?;
        let cluster_entry = entry(&document, "clusters", &cluster, "cluster")?;
        let server = text(cluster_entry, "server", || format!("cluster {cluster}"))?;
        let certificate_authority = pem(cluster_entry, "certificate-authority-data", || format!("cluster {cluster}"))?
            .ok_or_else(|| format!("cluster {cluster} has no certificate-authority-data"))?;
        let user_entry = entry(&document, "users", &user, "user")?;
        let certificate = pem(user_entry, "client-certificate-data", || format!("user {user}"))?;
        let key = pem(user_entry, "client-key-data", || format!("user {user}"))?;
        let identity = certificate.zip(key);
        Ok(Kubeconfig { document, context, cluster, user, server, certificate_authority, identity })
    }

    /// The same credentials for programs on the host: server `https://HOST:PORT`, and cluster, user and context named
    /// for the instance. Where `host` is every address (`0.0.0.0`), the loopback address is meant. The certificate has
    /// 127.0.0.1 and localhost (guest contract); for any other address it is checked for localhost.
    #[must_use]
    pub fn for_host(&self, name: &InstanceName, host: IpAddr, port: Port) -> Self {
        let host = match host {
            IpAddr::V4(address) if address.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(address) if address.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            host => host,
        };
        let server = format!("https://{}", SocketAddr::new(host, port.number()));
        self.rewritten(name.as_str(), server, (host != IpAddr::V4(Ipv4Addr::LOCALHOST)).then_some(CERTIFICATE_NAME))
    }

    /// The same credentials for programs in a pod: server [`SERVER_INSIDE_CLUSTER`].
    #[must_use]
    pub fn inside_cluster(&self, name: &InstanceName) -> Self {
        self.rewritten(name.as_str(), SERVER_INSIDE_CLUSTER.to_owned(), None)
    }

    fn rewritten(&self, name: &str, server: String, certificate_name: Option<&str>) -> Self {
        let mut changed = self.clone();
        for (list, old) in [("clusters", &self.cluster), ("users", &self.user), ("contexts", &self.context)] {
            if let Some(entry) = named_mut(&mut changed.document, list, old) {
                entry.insert("name".to_owned(), name.into());
            }
        }
        if let Some(cluster) = member_mut(&mut changed.document, "clusters", name, "cluster") {
            cluster.insert("server".to_owned(), server.as_str().into());
            // Both would take the proof away that the server is ours.
            cluster.shift_remove("insecure-skip-tls-verify");
            cluster.shift_remove("tls-server-name");
            if let Some(certificate_name) = certificate_name {
                cluster.insert("tls-server-name".to_owned(), certificate_name.into());
            }
        }
        if let Some(context) = member_mut(&mut changed.document, "contexts", name, "context") {
            context.insert("cluster".to_owned(), name.into());
            context.insert("user".to_owned(), name.into());
        }
        changed.document.insert("current-context".to_owned(), name.into());
        for field in [&mut changed.context, &mut changed.cluster, &mut changed.user] {
            name.clone_into(field);
        }
        changed.server = server;
        changed
    }

    /// `apiVersion` and `kind` come first, and are there even where the guest's file leaves them out: clients other
    /// than kubectl need them.
    fn ordered(&self) -> Value {
        let mut ordered = Map::new();
        for (key, default) in [("apiVersion", "v1"), ("kind", "Config")] {
            ordered.insert(key.to_owned(), self.document.get(key).cloned().unwrap_or_else(|| default.into()));
        }
        for (key, value) in &self.document {
            ordered.entry(key).or_insert_with(|| value.clone());
        }
        Value::Object(ordered)
    }

    /// YAML, `apiVersion` and `kind` first.
    pub fn to_yaml(&self) -> String {
        yaml::write(&self.ordered())
    }

    /// JSON on one line, `apiVersion` and `kind` first.
    pub fn to_json(&self) -> String {
        self.ordered().to_string()
    }

    /// Base64 (RFC 4648 section 4, padded, one line) of [`Kubeconfig::to_json`]: the value of `KUBECONFIG_PRIMARY`.
    pub fn to_json_base64(&self) -> String {
        STANDARD.encode(self.to_json())
    }

    /// The server's address, `https://127.0.0.1:6443`.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The name of the current context.
    pub fn context(&self) -> &str {
        &self.context
    }

    /// The certificate authority of the cluster, PEM.
    pub fn certificate_authority(&self) -> &str {
        &self.certificate_authority
    }

    /// The client's certificate and key, PEM, where the user has them.
    pub fn client_identity(&self) -> Option<(&str, &str)> {
        self.identity.as_ref().map(|(certificate, key)| (certificate.as_str(), key.as_str()))
    }
}

/// The member `inner` of the entry called `name` in the list `list`.
fn entry<'a>(
    document: &'a Map<String, Value>,
    list: &str,
    name: &str,
    inner: &str,
) -> Result<&'a Map<String, Value>, String> {
    document
        .get(list)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .find(|entry| entry["name"] == name)
        .ok_or_else(|| format!("{list} has no entry named {name}"))?
        .get(inner)
        .and_then(Value::as_object)
        .ok_or_else(|| format!("the entry {name} of {list} has no {inner}"))
}

fn named_mut<'a>(document: &'a mut Map<String, Value>, list: &str, name: &str) -> Option<&'a mut Map<String, Value>> {
    let entries = document.get_mut(list)?.as_array_mut()?;
    entries.iter_mut().find(|entry| entry["name"] == name)?.as_object_mut()
}

fn member_mut<'a>(
    document: &'a mut Map<String, Value>,
    list: &str,
    name: &str,
    inner: &str,
) -> Option<&'a mut Map<String, Value>> {
    named_mut(document, list, name)?.get_mut(inner)?.as_object_mut()
}

fn text(map: &Map<String, Value>, key: &str, owner: impl Fn() -> String) -> Result<String, String> {
    match map.get(key).and_then(Value::as_str) {
        Some(text) if !text.is_empty() => Ok(text.to_owned()),
        _ => Err(format!("{} has no {key}", owner())),
    }
}

fn pem(map: &Map<String, Value>, key: &str, owner: impl Fn() -> String) -> Result<Option<String>, String> {
    let Some(encoded) = map.get(key).and_then(Value::as_str) else { return Ok(None) };
    let bytes = STANDARD.decode(encoded.trim()).map_err(|error| format!("{key} of {}: {error}", owner()))?;
    let text = String::from_utf8(bytes).map_err(|_| format!("{key} of {} is not PEM", owner()))?;
    if text.contains("-----BEGIN ") { Ok(Some(text)) } else { Err(format!("{key} of {} is not PEM", owner())) }
}

#[cfg(test)]
mod tests;
