//! The cluster in a saved VM (`cluster.json`), written beside RAM, device state and disk.
//!
//! A restore reads from it what it would otherwise have to ask a guest that has just resumed.

use std::path::{Path, PathBuf};

use cluster::{CoreService, Credentials};
use host::files::{self, Mode};
use model::instance::InstanceName;
use model::port::Port;
use model::{BindAddress, Error, ErrorClass, Result};
use serde::{Deserialize, Serialize};

use crate::project::applied_inputs::AppliedInputs;

/// The version of the format. Files of another version are not read.
const SCHEMA: u32 = 1;

/// Credentials in the form of a kubeconfig. Only the three values of [`Credentials`] are read: an earlier version saved what
/// the guest had written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct SavedCredentials(Credentials);

impl TryFrom<String> for SavedCredentials {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        Credentials::parse("the saved cluster's kubeconfig", &text).map(SavedCredentials)
    }
}

impl From<SavedCredentials> for String {
    fn from(saved: SavedCredentials) -> Self {
        let anywhere = (BindAddress::LOOPBACK, Port::literal(6443));
        saved.0.for_host(&InstanceName::default(), anywhere.0, anywhere.1).to_yaml()
    }
}

/// `cluster.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct SavedCluster {
    schema: u32,
    /// The directory of the guest image.
    pub(crate) image_directory: PathBuf,
    /// What runs in the guest: `kubernetes v1.37.2`.
    pub(crate) distribution: String,
    /// The node's name.
    pub(crate) node: String,
    /// The kubelet's version: `v1.37.2`.
    pub(crate) version: String,
    /// The administrator's credentials.
    kubeconfig: SavedCredentials,
    /// What was applied to the pristine cluster, if nothing else has happened to it.
    pub(crate) applied: Option<AppliedInputs>,
    /// The Deployments in it, `NAMESPACE/NAME`, for people to read. Only snapshots have them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) deployments: Vec<String>,
    /// The addresses of the Services that the cluster needs, once they have answered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) services: Vec<CoreService>,
}

impl SavedCluster {
    /// A pristine cluster.
    pub(crate) fn pristine(
        image_directory: &Path,
        distribution: &str,
        node: &str,
        version: &str,
        admin: &Credentials,
    ) -> Self {
        SavedCluster {
            schema: SCHEMA,
            image_directory: image_directory.to_owned(),
            distribution: distribution.to_owned(),
            node: node.to_owned(),
            version: version.to_owned(),
            kubeconfig: SavedCredentials(admin.clone()),
            applied: None,
            deployments: Vec::new(),
            services: Vec::new(),
        }
    }

    /// The same cluster with what was applied to it.
    pub(crate) fn with_applied(mut self, applied: Option<AppliedInputs>) -> Self {
        self.applied = applied;
        self
    }

    /// The same cluster with the names of its Deployments.
    pub(crate) fn with_deployments(mut self, deployments: Vec<String>) -> Self {
        self.deployments = deployments;
        self
    }

    /// The same cluster with the addresses of the Services that it needs.
    pub(crate) fn with_services(mut self, services: Vec<CoreService>) -> Self {
        self.services = services;
        self
    }

    /// The administrator's credentials.
    pub(crate) fn admin(&self) -> &Credentials {
        &self.kubeconfig.0
    }

    /// Reads `file`.
    ///
    /// # Errors
    /// Why there is none that can be used, as a part of a sentence. No command fails for that.
    pub(crate) fn read(file: &Path) -> Result<Self, String> {
        let bytes = match files::read_optional(file) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Err(format!("{} is missing", file.display())),
            Err(error) => return Err(error.to_string()),
        };
        match serde_json::from_slice::<Self>(&bytes) {
            Ok(saved) if saved.schema == SCHEMA => Ok(saved),
            _ => Err("it was made by another version of k3s-vm, or is damaged".to_owned()),
        }
    }

    /// Writes `file` with mode 0600: it gives access to the cluster.
    ///
    /// # Errors
    /// An error that names the path.
    pub(crate) fn write(&self, file: &Path) -> Result<()> {
        let text = serde_json::to_vec_pretty(self)
            .map_err(|error| Error::new(ErrorClass::Failed, "cannot describe the saved cluster").because(error))?;
        files::write_atomic(file, &text, Mode::Exactly(0o600))
    }
}

#[cfg(test)]
mod tests;
