//! The values of a configuration that is complete and checked.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::k3s::K3sConfig;
use super::nixpkgs::Nixpkgs;
use super::patterns::Patterns;
use super::port_forward::PortForward;
use crate::bind_address::BindAddress;
use crate::port::Port;

/// What the user configured, complete and checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Host ports and their address.
    pub ports: Ports,
    /// Further ports of the host that lead into the guest.
    pub forwards: Vec<PortForward>,
    /// After how long without a connection the VM is paused; nothing where it never is.
    pub auto_pause: Option<Duration>,
    /// How many paused forks are kept ready for `run`.
    pub pool: u32,
    /// Whether a Ready cluster is kept, from which `reset`, `clone` and `run` begin.
    pub templates: bool,
    /// The virtual machine.
    pub vm: VmConfig,
    /// The guest image.
    pub image: ImageConfig,
    /// What the guest may reach.
    pub guest: GuestConfig,
    /// The K3s of the distribution `k3s`.
    pub k3s: K3sConfig,
    /// The web application's directory, relative to the project.
    pub web_directory: String,
    /// The Service behind the web port, where it is named.
    pub web_service: Option<WebService>,
    /// Files and directories of manifests, relative to the project.
    pub manifests: Vec<String>,
    /// How the web application's variables reach which containers.
    pub inject: InjectConfig,
    /// What the project is called in a cluster that it shares with others.
    pub apply_name: Option<String>,
    /// What may be kept.
    pub limits: Limits,
    /// Deadlines.
    pub timeouts: Timeouts,
    /// Container images loaded before the manifests are applied.
    pub images: Vec<ContainerImage>,
}

/// Host ports of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// The address of all listeners.
    pub bind: BindAddress,
    /// The Kubernetes API.
    pub api: Port,
    /// The guest's sshd.
    pub ssh: Port,
    /// The web application.
    pub web: Port,
}

impl Ports {
    /// Where this host reaches the Kubernetes API.
    pub fn api_address(&self) -> SocketAddr {
        self.bind.socket(self.api)
    }

    /// The same as a URL: `https://127.0.0.1:6443`.
    pub fn api_url(&self) -> String {
        self.bind.https(self.api)
    }

    /// Where this host reaches the web application.
    pub fn web_address(&self) -> SocketAddr {
        self.bind.socket(self.web)
    }

    /// The same as a URL: `http://127.0.0.1:30080`.
    pub fn web_url(&self) -> String {
        self.bind.http(self.web)
    }
}

/// Which accelerator QEMU uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accel {
    /// KVM where it is proven to work, else TCG.
    Auto,
    /// Emulation.
    Tcg,
    /// KVM or nothing.
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

/// What the guest may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuestConfig {
    /// Whether pods reach the services on the host's loopback, by the name `host.k3s-vm.internal`.
    pub host_access: bool,
}

/// Who makes the guest image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// The best one that works here.
    Auto,
    /// A NixOS guest by the user's Nix.
    Nix,
    /// A Debian guest by mmdebstrap.
    Debian,
    /// Files that the user names.
    Prebuilt,
}

/// What runs in the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distribution {
    /// The best one that can be had here.
    Auto,
    /// A K3s release.
    K3s,
    /// Upstream Kubernetes, built from Go modules.
    Kubernetes,
}

/// The guest image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageConfig {
    /// Who makes it.
    pub provider: Provider,
    /// What runs in it.
    pub distribution: Distribution,
    /// The directory of a prebuilt image, relative to the project.
    pub directory: Option<String>,
    /// Virtual size of the root disk in bytes.
    pub disk: u64,
    /// The nixpkgs of a NixOS guest, instead of the pinned one.
    pub nixpkgs: Option<Nixpkgs>,
    /// Whether nothing may be fetched for a build.
    pub offline: bool,
}

/// How the variables of `web/.env` reach the containers of the Deployments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InjectMode {
    /// A Secret and `envFrom`.
    Secret,
    /// Literal `env` entries.
    Env,
    /// Not at all.
    Off,
}

/// The injection of the variables of `web/.env`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InjectConfig {
    /// How.
    pub mode: InjectMode,
    /// Into which Deployments, by name or `NAMESPACE/NAME`.
    pub deployments: Patterns,
    /// Into which of their containers, by name.
    pub containers: Patterns,
    /// Which variables, by name.
    pub variables: Patterns,
    /// The ClusterRole of the credential that the containers get; none where nothing is granted.
    pub cluster_role: Option<String>,
}

/// A Service and one of its ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebService {
    /// Its namespace, where it matters.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// The number or the name of its port, where it has several.
    pub port: Option<String>,
}

/// What may be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that templates and snapshots of the project may take on the disk.
    pub saved: u64,
}

/// Deadlines that the user can set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// From QEMU's start to the answering web application.
    pub start: Duration,
    /// The clean part of `stop`.
    pub stop: Duration,
    /// The build of a guest image.
    pub build: Duration,
    /// Until a cluster that was kept in RAM answers again; then it boots.
    pub restore: Duration,
    /// Until another command that works on the same instance, or the same disks, has ended.
    pub lock: Duration,
    /// Until the guest has written its data and QEMU its RAM: `stop`, `snapshot save`, templates.
    pub save: Duration,
    /// The merging of a disk's layers.
    pub disk: Duration,
    /// The build of one container image by its `build` command.
    pub container_build: Duration,
    /// Until the guest has taken over one archive of container images.
    pub load: Duration,
    /// The installation of packages on the host.
    pub install: Duration,
    /// The guest that proves KVM, from QEMU's start to its line.
    pub kvm_test: Duration,
}

/// A container image that the project brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerImage {
    /// The name as manifests use it.
    pub name: String,
    /// A shell command that makes what `source` names.
    pub build: Option<String>,
    /// What `build` depends on.
    pub sources: BuildSources,
    /// What it is made of.
    pub source: ContainerImageSource,
}

/// Files and directories, relative to the project, that the build of a container image depends on: while their contents are the
/// same it need not run again. Empty where that is not known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BuildSources {
    /// Those.
    pub paths: Vec<String>,
    /// What within directories of them is left out.
    pub without: Vec<String>,
}

impl BuildSources {
    /// As the configuration writes them: a word that begins with `!` leaves out.
    pub fn new(words: impl IntoIterator<Item = String>) -> Self {
        let mut sources = BuildSources::default();
        for word in words {
            match word.strip_prefix('!') {
                Some(left_out) => sources.without.push(left_out.to_owned()),
                None => sources.paths.push(word),
            }
        }
        sources
    }
}

/// What a container image is made of; paths are relative to the project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContainerImageSource {
    /// A docker or OCI archive.
    Archive(String),
    /// Files packed without a container engine.
    Files {
        /// Path in the image -> path in the project.
        files: BTreeMap<String, String>,
        /// The image's program.
        entrypoint: Vec<String>,
    },
}
