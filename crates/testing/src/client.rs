//! A client of the fork's API.

use kube::config::{KubeConfigOptions, Kubeconfig};

use crate::cluster::Cluster;
use crate::error::Error;

impl Cluster {
    /// A client with an administrator's rights. To be called within a Tokio runtime, as all of [`kube`] is.
    ///
    /// # Errors
    /// [`Error::Kubeconfig`] when it cannot be read or used.
    pub async fn client(&self) -> Result<kube::Client, Error> {
        let unusable = |source| Error::Kubeconfig { path: self.kubeconfig_path().to_owned(), source };
        let document = Kubeconfig::from_yaml(&self.kubeconfig()?).map_err(|error| unusable(error.into()))?;
        let mut config = kube::Config::from_custom_kubeconfig(document, &KubeConfigOptions::default())
            .await
            .map_err(|error| unusable(error.into()))?;
        // The cluster is on this machine; a proxy of the environment is not on the way to it.
        config.proxy_url = None;
        kube::Client::try_from(config).map_err(|error| unusable(error.into()))
    }
}
