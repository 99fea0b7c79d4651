//! A client for the fork's API.

use kube::config::{AuthInfo, Cluster as Server, KubeConfigOptions, Kubeconfig};

use crate::cluster::Cluster;
use crate::error::Error;

impl Cluster {
    /// A client with an administrator's rights. Like all of [`kube`], it needs a Tokio runtime.
    ///
    /// # Errors
    /// [`Error::Kubeconfig`] when the kubeconfig cannot be read or used.
    pub async fn client(&self) -> Result<kube::Client, Error> {
        let unusable = |source| Error::Kubeconfig { path: self.kubeconfig_path().to_owned(), source };
        let mut document = Kubeconfig::from_yaml(&self.kubeconfig()?).map_err(|error| unusable(error.into()))?;
        limit(&mut document);
        let mut config = kube::Config::from_custom_kubeconfig(document, &KubeConfigOptions::default())
            .await
            .map_err(|error| unusable(error.into()))?;
        // The cluster is on this machine, so a proxy of the environment must not be used.
        config.proxy_url = None;
        kube::Client::try_from(config).map_err(|error| unusable(error.into()))
    }
}

/// Removes everything but what k3s-vm writes: a kubeconfig can name programs to run, files to read and proxies.
fn limit(document: &mut Kubeconfig) {
    for user in document.auth_infos.iter_mut().filter_map(|entry| entry.auth_info.as_mut()) {
        let AuthInfo { client_certificate_data, client_key_data, .. } = std::mem::take(user);
        *user = AuthInfo { client_certificate_data, client_key_data, ..AuthInfo::default() };
    }
    for cluster in document.clusters.iter_mut().filter_map(|entry| entry.cluster.as_mut()) {
        let Server { server, certificate_authority_data, tls_server_name, .. } = std::mem::take(cluster);
        *cluster = Server { server, certificate_authority_data, tls_server_name, ..Server::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_kubeconfig_cannot_run_programs() {
        let text =
            "{apiVersion: v1, kind: Config, current-context: a, contexts: [{name: a, context: {cluster: a, user: a}}],
            clusters: [{name: a, cluster: {server: 'https://127.0.0.1:1', certificate-authority-data: QQ==,
                tls-server-name: localhost, proxy-url: 'http://evil', certificate-authority: /evil,
                insecure-skip-tls-verify: true}}],
            users: [{name: a, user: {client-certificate-data: QQ==, client-key-data: QQ==, token: evil,
                tokenFile: /evil, exec: {command: evil}, auth-provider: {name: gcp, config: {cmd-path: evil}}}}]}";
        let mut document = Kubeconfig::from_yaml(text).unwrap();
        limit(&mut document);
        let left = serde_json::to_string(&document).unwrap();
        assert!(!left.contains("evil") && !left.contains("insecure"), "{left}");
        assert!(
            left.contains("client-key-data") && left.contains("localhost") && left.contains("127.0.0.1:1"),
            "{left}"
        );
    }
}
