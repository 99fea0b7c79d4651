//! The values of a complete and checked configuration.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::k3s::K3sConfig;
use super::nixpkgs::Nixpkgs;
use super::patterns::Patterns;
use super::port_forward::PortForward;
use crate::bind_address::BindAddress;
use crate::port::Port;

/// The configuration, complete and checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Host ports and the bind address.
    pub ports: Ports,
    /// Further host ports that are forwarded into the guest.
    pub forwards: Vec<PortForward>,
    /// How long without a connection until the VM is paused; `None`: never.
    pub auto_pause: Option<Duration>,
    /// Size of the warm pool: paused forks ready for `run`.
    pub pool: u32,
    /// Whether templates are made, from which `reset`, `clone` and `run` start.
    pub templates: bool,
    /// The virtual machine.
    pub vm: VmConfig,
    /// The guest image.
    pub image: ImageConfig,
    /// What the guest may reach outside the VM.
    pub guest: GuestConfig,
    /// The K3s release of the distribution `k3s`.
    pub k3s: K3sConfig,
    /// The web application's directory, relative to the project.
    pub web_directory: String,
    /// The Service behind the web port, if it is configured.
    pub web_service: Option<WebService>,
    /// Files and directories of manifests, relative to the project.
    pub manifests: Vec<String>,
    /// Which variables of the web application reach which containers, and how.
    pub inject: InjectConfig,
    /// The project's name in a cluster that it shares with other projects.
    pub apply_name: Option<String>,
    /// Limits of disk space.
    pub limits: Limits,
    /// Deadlines.
    pub timeouts: Timeouts,
    /// Container images to load before the manifests are applied.
    pub images: Vec<ContainerImage>,
}

/// Host ports of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// The bind address of all listeners.
    pub bind: BindAddress,
    /// The Kubernetes API.
    pub api: Port,
    /// The guest's sshd.
    pub ssh: Port,
    /// The web application.
    pub web: Port,
}

impl Ports {
    /// The address at which this host reaches the Kubernetes API.
    pub fn api_address(&self) -> SocketAddr {
        self.bind.socket(self.api)
    }

    /// The URL of the Kubernetes API: `https://127.0.0.1:6443`.
    pub fn api_url(&self) -> String {
        self.bind.https(self.api)
    }

    /// The address at which this host reaches the web application.
    pub fn web_address(&self) -> SocketAddr {
        self.bind.socket(self.web)
    }

    /// The URL of the web application: `http://127.0.0.1:30080`.
    pub fn web_url(&self) -> String {
        self.bind.http(self.web)
    }
}

/// QEMU's accelerator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accel {
    /// KVM if the self-test proves that it works, else TCG.
    Auto,
    /// TCG: emulation.
    Tcg,
    /// KVM, never anything else.
    Kvm,
}

/// The virtual machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmConfig {
    /// Virtual CPUs.
    pub cpus: u32,
    /// RAM in bytes, a multiple of 1 MiB.
    pub memory: u64,
    /// The accelerator.
    pub accel: Accel,
}

/// What the guest may reach outside the VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuestConfig {
    /// Whether pods reach services on the host's loopback, at `host.k3s-vm.internal`.
    pub host_access: bool,
}

/// The image provider, which builds the guest image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// The best provider that works on this host.
    Auto,
    /// A NixOS guest, built with the user's Nix.
    Nix,
    /// A Debian guest, built with mmdebstrap.
    Debian,
    /// A directory that the user names.
    Prebuilt,
}

/// The Kubernetes distribution in the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distribution {
    /// The best distribution that is available.
    Auto,
    /// A K3s release.
    K3s,
    /// Upstream Kubernetes, built from Go modules.
    Kubernetes,
}

/// The guest image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageConfig {
    /// The provider.
    pub provider: Provider,
    /// The distribution.
    pub distribution: Distribution,
    /// The directory of a prebuilt image, relative to the project.
    pub directory: Option<String>,
    /// Virtual size of the root disk in bytes.
    pub disk: u64,
    /// The nixpkgs for a NixOS guest, instead of the pinned one.
    pub nixpkgs: Option<Nixpkgs>,
    /// Whether a build must not download anything.
    pub offline: bool,
}

/// How the variables of `web/.env` are injected into the containers of the Deployments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InjectMode {
    /// By a Secret and `envFrom`.
    Secret,
    /// By literal `env` entries.
    Env,
    /// Not at all.
    Off,
}

/// The injection of the variables of `web/.env`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InjectConfig {
    /// How they are injected.
    pub mode: InjectMode,
    /// The Deployments, by name or `NAMESPACE/NAME`.
    pub deployments: Patterns,
    /// The containers of these Deployments, by name.
    pub containers: Patterns,
    /// The variables, by name.
    pub variables: Patterns,
    /// The ClusterRole of the credential that the containers get; `None`: it is granted nothing.
    pub cluster_role: Option<String>,
}

/// A Service and one of its ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebService {
    /// The namespace; `None`: any.
    pub namespace: Option<String>,
    /// The name.
    pub name: String,
    /// The number or the name of the port; needed if the Service has several.
    pub port: Option<String>,
}

/// Limits of disk space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of disk space for the templates and snapshots of the project.
    pub saved: u64,
}

/// Deadlines, each for one thing that is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// From the start of QEMU until the web application answers.
    pub start: Duration,
    /// The clean shutdown of `stop`, after which QEMU is killed.
    pub stop: Duration,
    /// The build of a guest image.
    pub build: Duration,
    /// Until a restored cluster answers; after that it boots from the disk.
    pub restore: Duration,
    /// Until another command on the same instance, or the same disks, has ended.
    pub lock: Duration,
    /// Until the guest has synced its disk and QEMU has written its RAM: `stop`, `snapshot save`, templates.
    pub save: Duration,
    /// The merging of a disk's backing files.
    pub disk: Duration,
    /// The build of one container image by its `build` command.
    pub container_build: Duration,
    /// Until the guest has imported one archive of container images.
    pub load: Duration,
    /// The installation of packages on the host.
    pub install: Duration,
    /// The self-test of KVM, from the start of QEMU until its guest reports success.
    pub kvm_test: Duration,
}

/// A container image of the project, an entry of `[[images]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerImage {
    /// The name that manifests use.
    pub name: String,
    /// A shell command that makes the files of `source`.
    pub build: Option<String>,
    /// The files on which `build` depends.
    pub sources: BuildSources,
    /// The archive or the files of the image.
    pub source: ContainerImageSource,
}

/// Files and directories, relative to the project, on which the build of a container image depends. The build is
/// skipped while their contents are unchanged. Empty if they are not known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BuildSources {
    /// The files and directories.
    pub paths: Vec<String>,
    /// Paths within these directories that are excluded.
    pub without: Vec<String>,
}

impl BuildSources {
    /// Reads the words of the configuration; one that begins with `!` excludes a path.
    pub fn new(words: impl IntoIterator<Item = String>) -> Self {
        let mut sources = BuildSources::default();
        for word in words {
            match word.strip_prefix('!') {
                Some(excluded) => sources.without.push(excluded.to_owned()),
                None => sources.paths.push(word),
            }
        }
        sources
    }
}

/// The content of a container image; paths are relative to the project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContainerImageSource {
    /// A Docker or OCI archive.
    Archive(String),
    /// Files that are packed without a container engine.
    Files {
        /// Path in the image -> file or directory of the project.
        files: BTreeMap<String, String>,
        /// The entrypoint: the program and its arguments.
        entrypoint: Vec<String>,
    },
}
