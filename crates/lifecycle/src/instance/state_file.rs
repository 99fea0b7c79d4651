//! The record of a started QEMU: it helps to find the process and proves nothing by itself.

use std::path::Path;

use host::files::{self, Mode};
use host::identity::ProcessIdentity;
use model::config::Ports;
use model::port::Port;
use model::{BindAddress, Error, ErrorClass, Result};
use qemu::saved_state::CompatibilityKey;
use serde::{Deserialize, Serialize};

/// What a VM is restored from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restoring {
    /// A template: its disk was made for it, on that of the template.
    Template,
    /// The snapshot that the user named, in the same way.
    Snapshot,
    /// The suspended RAM beside its own disk.
    Suspended,
}

/// What was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateFile {
    /// From before QEMU is started until the guest has resumed with saved RAM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restoring: Option<Restoring>,
    /// The process; nothing while QEMU is being started.
    pub process: Option<ProcessIdentity>,
    /// The `-uuid` of its command line.
    pub uuid: String,
    /// The version of QEMU.
    pub qemu: String,
    /// `tcg` or `kvm`.
    pub accelerator: String,
    /// Why not KVM, where that was wanted: "KVM: guests hang on this host".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accelerator_reason: Option<String>,
    /// Address of all listeners.
    pub bind: BindAddress,
    /// Host port of the API.
    pub api_port: Port,
    /// Host port of SSH.
    pub ssh_port: Port,
    /// Host port of the web application.
    pub web_port: Port,
    /// What runs in the guest: `kubernetes v1.37.2`.
    pub distribution: String,
    /// The fingerprint of the guest image that it runs.
    pub image: String,
    /// The directory of that image.
    pub image_directory: std::path::PathBuf,
    /// What a saved state of it depends on.
    pub compatibility_key: CompatibilityKey,
    /// Bytes of RAM.
    pub memory: u64,
}

impl StateFile {
    /// The host's ports that it was started with.
    pub fn ports(&self) -> Ports {
        Ports { bind: self.bind, api: self.api_port, ssh: self.ssh_port, web: self.web_port }
    }

    /// What runs in the guest, without the reason for it: `kubernetes v1.37.2`.
    pub fn version(&self) -> &str {
        self.distribution.split_once(" (").map_or(self.distribution.as_str(), |(version, _)| version)
    }

    /// The record at `path`; a file that cannot be understood counts as none, since it is only a hint.
    ///
    /// # Errors
    /// An error of reading the file.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        Ok(files::read_optional(path)?.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    /// Writes it.
    ///
    /// # Errors
    /// An error of writing the file.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_vec_pretty(self)
            .map_err(|error| Error::new(ErrorClass::Failed, "cannot write the instance's state_file").because(error))?;
        files::write_atomic(path, &text, Mode::Exactly(0o600))
    }
}
