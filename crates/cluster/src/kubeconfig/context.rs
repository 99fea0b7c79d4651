//! A context of a kubeconfig that the user names: any cluster, and every kind of login that kubectl supports.
//!
//! The Kubernetes library reads the format and resolves relative paths; this module chooses the context and reports
//! what is missing in it. `$KUBECONFIG` is not used.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper_util::client::proxy::matcher::Matcher;
use kube::config::{AuthInfo, Cluster, Kubeconfig as Document, KubeconfigError};
use model::{Error, ErrorClass, Result};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::error_text::chain;

/// A context of a kubeconfig file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubeconfigContext {
    /// The file.
    pub file: PathBuf,
    /// The context; `None` for the file's current one.
    pub context: Option<String>,
}

/// A context that was read, and how to reach its cluster.
pub(crate) struct Destination {
    /// The context's name.
    pub(crate) context: String,
    /// The configuration of the client.
    pub(crate) config: kube::Config,
}

/// Reads the context. A program that provides credentials (`exec`) does not run here, but when the client is made.
///
/// # Errors
/// A Config error that says what is missing and which contexts there are.
pub(crate) fn read(target: &KubeconfigContext) -> Result<Destination> {
    let shown = target.file.display().to_string();
    // Names in the file are relative to its directory, whatever the working directory is later.
    let absolute = std::path::absolute(&target.file).unwrap_or_else(|_| target.file.clone());
    let document = Document::read_from(&absolute).map_err(|error| unreadable(&shown, error))?;
    let context = context_name(&shown, &document, target.context.as_deref())?;
    let broken = |why: String| {
        Error::new(ErrorClass::Config, format!("the context {context} of {shown} cannot be used")).because(why)
    };
    let binding = document.contexts.iter().find(|entry| entry.name == context).and_then(|entry| entry.context.clone());
    let binding = binding.ok_or_else(|| broken("it is empty".to_owned()))?;
    let cluster = document
        .clusters
        .iter()
        .find(|entry| entry.name == binding.cluster)
        .and_then(|entry| entry.cluster.clone())
        .ok_or_else(|| broken(format!("there is no cluster named {} in the file", binding.cluster)))?;
    let auth_info = match binding.user.as_deref().filter(|user| !user.is_empty()) {
        None => AuthInfo::default(),
        Some(user) => document
            .auth_infos
            .iter()
            .find(|entry| entry.name == user)
            .and_then(|entry| entry.auth_info.clone())
            .ok_or_else(|| broken(format!("there is no user named {user} in the file")))?,
    };
    let config = config(&cluster, auth_info, binding.namespace).map_err(broken)?;
    Ok(Destination { context, config })
}

fn unreadable(shown: &str, error: KubeconfigError) -> Error {
    let why = match error {
        KubeconfigError::ReadConfig(error, _) => error.to_string(),
        KubeconfigError::Parse(error) => error.without_snippet().to_string(),
        other => chain(&other),
    };
    Error::new(ErrorClass::Config, format!("the kubeconfig {shown} cannot be read")).because(why)
}

fn context_name(shown: &str, document: &Document, wanted: Option<&str>) -> Result<String> {
    let names: Vec<&str> = document.contexts.iter().map(|entry| entry.name.as_str()).collect();
    let has = match names.as_slice() {
        [] => "it has none".to_owned(),
        names => format!("it has {}", names.join(", ")),
    };
    let name = wanted.or(document.current_context.as_deref()).filter(|name| !name.is_empty());
    match name {
        Some(name) if names.contains(&name) => Ok(name.to_owned()),
        Some(name) => Err(Error::new(ErrorClass::Config, format!("there is no context {name} in {shown}"))
            .because(has)
            .next(format!("kubectl --kubeconfig {shown} config get-contexts"))),
        None => Err(Error::new(ErrorClass::Config, format!("{shown} does not name a context"))
            .because(format!("current-context is not set; {has}"))
            .next("name one: --context NAME")),
    }
}

fn config(cluster: &Cluster, mut auth_info: AuthInfo, namespace: Option<String>) -> Result<kube::Config, String> {
    let server = cluster.server.as_deref().filter(|server| !server.is_empty()).ok_or("its cluster has no server")?;
    let url: http::Uri = server.parse().map_err(|error| format!("its server {server} is no address: {error}"))?;
    if let Some(exec) = &mut auth_info.exec
        && exec.provide_cluster_info
    {
        exec.cluster = Some(cluster.try_into().map_err(|error: KubeconfigError| chain(&error))?);
    }
    if auth_info.token.is_none()
        && let Some(file) = auth_info.token_file.take()
    {
        let token = String::from_utf8(read_named("tokenFile", Path::new(&file))?)
            .map_err(|_| format!("tokenFile {file} is no text"))?;
        // Without the line break at its end, as client-go reads it.
        auth_info.token = Some(token.trim().into());
    }
    let mut config = kube::Config::new(url);
    config.proxy_url = proxy(cluster, &config.cluster_url)?;
    config.root_cert = authorities(cluster)?;
    config.accept_invalid_certs = cluster.insecure_skip_tls_verify.unwrap_or(false);
    config.tls_server_name = cluster.tls_server_name.clone();
    config.disable_compression = cluster.disable_compression.unwrap_or(false);
    config.auth_info = auth_info;
    if let Some(namespace) = namespace.filter(|namespace| !namespace.is_empty()) {
        config.default_namespace = namespace;
    }
    Ok(config)
}

/// As client-go does it: the file's `proxy-url` for this cluster, else `HTTPS_PROXY` less `NO_PROXY`.
fn proxy(cluster: &Cluster, server: &http::Uri) -> Result<Option<http::Uri>, String> {
    match cluster.proxy_url.as_deref().filter(|url| !url.is_empty()) {
        Some(url) => url.parse().map(Some).map_err(|error| format!("its proxy-url {url} is no address: {error}")),
        None => Ok(Matcher::from_env().intercept(server).map(|proxy| proxy.uri().clone())),
    }
}

fn authorities(cluster: &Cluster) -> Result<Option<Vec<Vec<u8>>>, String> {
    let pem = match (cluster.certificate_authority_data.as_deref(), cluster.certificate_authority.as_deref()) {
        (Some(data), _) if !data.is_empty() => {
            STANDARD.decode(data.trim()).map_err(|error| format!("certificate-authority-data: {error}"))?
        }
        (_, Some(file)) if !file.is_empty() => read_named("certificate-authority", Path::new(file))?,
        _ => return Ok(None),
    };
    let certificates: Vec<Vec<u8>> = CertificateDer::pem_slice_iter(&pem)
        .map(|certificate| certificate.map(|certificate| certificate.to_vec()))
        .collect::<Result<_, _>>()
        .map_err(|error| format!("the certificate authority is not PEM: {error}"))?;
    if certificates.is_empty() {
        return Err("the certificate authority holds no certificate".to_owned());
    }
    Ok(Some(certificates))
}

fn read_named(key: &str, file: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(file).map_err(|error| format!("{key} {}: {error}", file.display()))
}

#[cfg(test)]
mod tests;
