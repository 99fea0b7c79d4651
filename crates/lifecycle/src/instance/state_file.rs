//! The state file of a started QEMU. It helps to find the process and proves nothing by itself.

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
    /// A template, on whose disk the instance's disk is an overlay.
    Template,
    /// A snapshot, on whose disk the instance's disk is an overlay.
    Snapshot,
    /// The suspended VM of the instance, with its own disk.
    Suspended,
}

/// How an instance was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateFile {
    /// Set from before QEMU is started until the guest has resumed with saved RAM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restoring: Option<Restoring>,
    /// The process; `None` while QEMU is being started.
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
    /// The bind address of all listeners.
    pub bind: BindAddress,
    /// The host port of the API.
    pub api_port: Port,
    /// The host port of ssh.
    pub ssh_port: Port,
    /// The host port of the web application.
    pub web_port: Port,
    /// What runs in the guest: `kubernetes v1.37.2`.
    pub distribution: String,
    /// The fingerprint of the guest image that it runs.
    pub image: String,
    /// The directory of that image.
    pub image_directory: std::path::PathBuf,
    /// The compatibility key of the VM.
    pub compatibility_key: CompatibilityKey,
    /// Bytes of RAM.
    pub memory: u64,
}

impl StateFile {
    /// The host ports that it was started with.
    pub fn ports(&self) -> Ports {
        Ports { bind: self.bind, api: self.api_port, ssh: self.ssh_port, web: self.web_port }
    }

    /// Distribution and version, without the reason for them: `kubernetes v1.37.2`.
    pub fn version(&self) -> &str {
        self.distribution.split_once(" (").map_or(self.distribution.as_str(), |(version, _)| version)
    }

    /// Reads the state file at `path`. One that cannot be parsed counts as none, since it is only a hint.
    ///
    /// # Errors
    /// An error of reading the file.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        Ok(files::read_optional(path)?.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    /// Writes the state file to `path`.
    ///
    /// # Errors
    /// An error of writing the file.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_vec_pretty(self)
            .map_err(|error| Error::new(ErrorClass::Failed, "cannot write the instance's state file").because(error))?;
        files::write_atomic(path, &text, Mode::Exactly(0o600))
    }
}
