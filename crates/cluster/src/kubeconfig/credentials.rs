//! The administrator's credentials of the guest: the PEM of an authority, a certificate and a key, and nothing else.
//!
//! A kubeconfig can name programs to run, files to read and a proxy for all requests, and root in the guest writes the
//! file that is read here. So only three values are taken from it, each is parsed strictly, and the kubeconfig of the
//! host is made anew of their content ([`Kubeconfig`]). Pure: text in, text out.

use std::net::Ipv4Addr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::instance::InstanceName;
use model::port::Port;
use model::{BindAddress, Error, ErrorClass, Result};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use serde_json::{Map, Value};

use super::document::{Kubeconfig, Login};
use super::pem;
use crate::yaml;

/// A name that the API's certificate has by the guest contract.
pub(crate) const CERTIFICATE_NAME: &str = "localhost";
/// The largest kubeconfig that is read, in bytes; the largest real one has 6 KB.
pub const LONGEST_KUBECONFIG: usize = 64 * 1024;

const CERTIFICATE: &[&str] = &["CERTIFICATE"];
const PRIVATE_KEY: &[&str] = &["EC PRIVATE KEY", "RSA PRIVATE KEY", "PRIVATE KEY"];

/// Certificates and a key that were parsed and written anew as PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    certificate_authority: String,
    certificate: String,
    key: String,
}

/// Keys stay out of debug output.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

impl Credentials {
    /// Takes the credentials of the current context out of an untrusted kubeconfig, YAML or JSON; `shown` names the
    /// file in messages. Nothing else of the text is used.
    ///
    /// # Errors
    /// A Cluster error where the authority, the certificate or the key is missing or unusable.
    pub fn parse(shown: &str, text: &str) -> Result<Self> {
        Self::read(text).map_err(|why| {
            Error::new(ErrorClass::Cluster, format!("{shown} is no kubeconfig that can be used")).because(why)
        })
    }

    fn read(text: &str) -> Result<Self, String> {
        if text.len() > LONGEST_KUBECONFIG {
            return Err(format!("it is larger than {} KiB", LONGEST_KUBECONFIG / 1024));
        }
        let value = yaml::read(text)
            .map_err(|mistake| format!("line {}, column {}: {}", mistake.line, mistake.column, mistake.message))?;
        let Value::Object(document) = value else { return Err("it does not hold a map of keys".to_owned()) };
        let context = text_of(&document, "current-context").ok_or("current-context is not set")?;
        let binding = entry(&document, "contexts", context, "context")?;
        let named = |key| text_of(binding, key).ok_or_else(|| format!("its context has no {key}"));
        let cluster = entry(&document, "clusters", named("cluster")?, "cluster")?;
        let user = entry(&document, "users", named("user")?, "user")?;
        let authorities = blocks(cluster, "certificate-authority-data", CERTIFICATE)?;
        let certificates = blocks(user, "client-certificate-data", CERTIFICATE)?;
        let keys = blocks(user, "client-key-data", PRIVATE_KEY)?;
        check_authorities(&authorities).map_err(|why| format!("certificate-authority-data: {why}"))?;
        check_identity(&certificates, &keys)?;
        Ok(Credentials {
            certificate_authority: pem::write(&authorities),
            certificate: pem::write(&certificates),
            key: pem::write(&keys),
        })
    }

    /// The kubeconfig for programs on the host: the server is the address at which they reach `port` of a listener on
    /// `bind`, and cluster, user and context are named for the instance. The server's certificate is for 127.0.0.1 and
    /// localhost (guest contract); at any other address it is checked for localhost.
    #[must_use]
    pub fn for_host(&self, name: &InstanceName, bind: BindAddress, port: Port) -> Kubeconfig {
        Kubeconfig {
            name: name.as_str().to_owned(),
            server: bind.https(port),
            certificate_name: (bind.reached_at() != Ipv4Addr::LOCALHOST).then_some(CERTIFICATE_NAME),
            certificate_authority: self.certificate_authority.clone(),
            login: Login::Certificate { certificate: self.certificate.clone(), key: self.key.clone() },
        }
    }

    /// The certificate authority of the cluster, PEM.
    pub fn certificate_authority(&self) -> &str {
        &self.certificate_authority
    }

    /// The client's certificate and key, PEM.
    pub fn client_identity(&self) -> (&str, &str) {
        (&self.certificate, &self.key)
    }
}

/// Checks that each block is a certificate authority that rustls accepts.
fn check_authorities(blocks: &[pem::Block]) -> Result<(), String> {
    let mut roots = RootCertStore::empty();
    blocks
        .iter()
        .try_for_each(|block| roots.add(CertificateDer::from(block.der.as_slice()).into_owned()))
        .map_err(|_| "it is no certificate".to_owned())
}

/// Checks that there is one key, and that it belongs to the first certificate of the chain.
fn check_identity(certificates: &[pem::Block], keys: &[pem::Block]) -> Result<(), String> {
    let [key] = keys else { return Err("client-key-data: it holds more than one key".to_owned()) };
    let no_key = || "client-key-data: it is no key that can be used".to_owned();
    let key = match key.label {
        "EC PRIVATE KEY" => PrivateKeyDer::Sec1(key.der.clone().into()),
        "RSA PRIVATE KEY" => PrivateKeyDer::Pkcs1(key.der.clone().into()),
        _ => PrivateKeyDer::Pkcs8(key.der.clone().into()),
    };
    let key = rustls::crypto::ring::sign::any_supported_type(&key).map_err(|_| no_key())?;
    let chain: Vec<CertificateDer<'static>> =
        certificates.iter().map(|block| CertificateDer::from(block.der.clone())).collect();
    for certificate in &chain {
        ParsedCertificate::try_from(certificate)
            .map_err(|_| "client-certificate-data: it is no certificate".to_owned())?;
    }
    CertifiedKey::new(chain, key)
        .keys_match()
        .map_err(|_| "client-key-data is not the key of client-certificate-data".to_owned())
}

/// The member `inner` of the entry called `name` in the list `list`.
fn entry<'a>(
    document: &'a Map<String, Value>,
    list: &str,
    name: &str,
    inner: &str,
) -> Result<&'a Map<String, Value>, String> {
    let entry = entries(document, list)
        .iter()
        .find(|entry| entry["name"] == name)
        .ok_or_else(|| format!("{list} has no entry of the name that the current context names"))?;
    self::inner(entry, inner)
        .ok_or_else(|| format!("the entry of {list} that the current context names has no {inner}"))
}

/// The entries of a list of a kubeconfig (`clusters`, `contexts`, `users`).
pub(crate) fn entries<'a>(document: &'a Map<String, Value>, list: &str) -> &'a [Value] {
    document.get(list).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The map under `key` of an entry.
pub(crate) fn inner<'a>(entry: &'a Value, key: &str) -> Option<&'a Map<String, Value>> {
    entry.get(key).and_then(Value::as_object)
}

fn text_of<'a>(map: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    map.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
}

fn blocks(map: &Map<String, Value>, key: &str, labels: &[&'static str]) -> Result<Vec<pem::Block>, String> {
    let encoded = text_of(map, key).ok_or_else(|| format!("{key} is not set"))?;
    let bytes = STANDARD.decode(encoded.trim()).map_err(|_| format!("{key}: it is not base64"))?;
    let text = String::from_utf8(bytes).map_err(|_| format!("{key}: it is not PEM"))?;
    pem::read(&text, labels).map_err(|why| format!("{key}: {why}"))
}

#[cfg(test)]
pub(crate) mod tests;
