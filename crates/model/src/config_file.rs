//! The image of `.k3s-vm/config.toml` as written: every key optional, unknown keys refused.
//!
//! No defaults and no rules here; [`crate::config`] resolves it.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The whole file.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ConfigFile {
    /// Version of the format; 1.
    pub version: Option<u32>,
    /// Host ports.
    #[serde(default)]
    pub ports: PortsSection,
    /// The virtual machine.
    #[serde(default)]
    pub vm: VmSection,
    /// The guest image.
    #[serde(default)]
    pub image: ImageSection,
    /// The web application.
    #[serde(default)]
    pub web: WebSection,
    /// Injection of the web application's variables.
    #[serde(default)]
    pub inject: InjectSection,
    /// Deadlines.
    #[serde(default)]
    pub timeouts: TimeoutsSection,
    /// Container images that are loaded before the manifests are applied.
    #[serde(default)]
    pub images: Vec<ContainerImageSection>,
}

/// `[ports]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PortsSection {
    /// Host port of the Kubernetes API.
    pub api: Option<i64>,
    /// Host port of the guest's sshd.
    pub ssh: Option<i64>,
    /// Host port of the web application; `WEB_PORT` of `.env` where absent.
    pub web: Option<i64>,
    /// Host address of all listeners.
    pub bind: Option<String>,
}

/// `[vm]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct VmSection {
    /// Virtual CPUs.
    pub cpus: Option<i64>,
    /// RAM, for example "2GiB".
    pub memory: Option<String>,
    /// `auto`, `tcg` or `kvm`.
    pub accel: Option<String>,
}

/// `[image]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ImageSection {
    /// `auto`, `debian` or `prebuilt`.
    pub provider: Option<String>,
    /// `auto` or `kubernetes`.
    pub distribution: Option<String>,
    /// Folder of a prebuilt image, relative to the project.
    pub folder: Option<String>,
    /// Virtual size of the root disk, for example "20GiB".
    pub disk: Option<String>,
}

/// `[web]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WebSection {
    /// The web application's folder, relative to the project.
    pub folder: Option<String>,
}

/// `[inject]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct InjectSection {
    /// `secret`, `env` or `off`.
    pub mode: Option<String>,
}

/// `[timeouts]`; values as in "90s" or "15m".
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TimeoutsSection {
    /// From QEMU's start to the answering web application.
    pub start: Option<String>,
    /// The clean part of `stop`, after which QEMU is ended.
    pub stop: Option<String>,
    /// The build of a guest image.
    pub build: Option<String>,
}

/// One of `[[images]]`: an archive, or files packed without a container engine.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ContainerImageSection {
    /// The image's name as manifests use it, for example "local/web:dev".
    pub name: Option<String>,
    /// A shell command that makes the archive or the files, run in the project's folder.
    pub build: Option<String>,
    /// A docker or OCI archive, relative to the project.
    pub archive: Option<String>,
    /// Path in the image -> file or folder of the project.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// The program of an image made of `files`.
    #[serde(default)]
    pub entrypoint: Vec<String>,
}
