//! The resolved configuration: defaults, rules, and every mistake of the file told at once.

mod mistakes;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crate::config_file::ConfigFile;
use crate::port::Port;
use crate::{Fault, FaultClass, Result};
use mistakes::Mistakes;

const GIB: u64 = 1024 * 1024 * 1024;

/// Host port of the API where nothing is configured.
pub const DEFAULT_API_PORT: Port = Port::literal(6443);
/// Host port of SSH where nothing is configured.
pub const DEFAULT_SSH_PORT: Port = Port::literal(2666);

/// What the user configured, complete and checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Host ports and their address.
    pub ports: Ports,
    /// The virtual machine.
    pub vm: VmConfig,
    /// The guest image.
    pub image: ImageConfig,
    /// The web application's folder, relative to the project.
    pub web_folder: String,
    /// How the web application's variables reach the containers.
    pub inject: InjectMode,
    /// Deadlines.
    pub timeouts: Timeouts,
    /// Container images loaded before the manifests are applied.
    pub images: Vec<ContainerImage>,
}

/// Host ports of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// The address of all listeners.
    pub bind: IpAddr,
    /// The Kubernetes API.
    pub api: Port,
    /// The guest's sshd.
    pub ssh: Port,
    /// The web application.
    pub web: Port,
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

/// Who makes the guest image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// The best one that works here.
    Auto,
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
    /// The folder of a prebuilt image, relative to the project.
    pub folder: Option<String>,
    /// Virtual size of the root disk in bytes.
    pub disk: u64,
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

/// Deadlines that the user can set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// From QEMU's start to the answering web application.
    pub start: Duration,
    /// The clean part of `stop`.
    pub stop: Duration,
    /// The build of a guest image.
    pub build: Duration,
}

/// A container image that the project brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerImage {
    /// The name as manifests use it.
    pub name: String,
    /// A shell command that makes what `source` names.
    pub build: Option<String>,
    /// What it is made of.
    pub source: ContainerImageSource,
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

impl Config {
    /// Reads the text of `.k3s-vm/config.toml` (`shown` is its name in messages).
    ///
    /// # Errors
    /// A Config fault with line and column of the first syntax error or unknown key.
    pub fn parse_file(shown: &str, text: &str) -> Result<ConfigFile> {
        toml::from_str(text).map_err(|error| {
            Fault::new(FaultClass::Config, format!("{shown} cannot be read"))
                .because(error.to_string().trim_end())
                .next(format!("edit {shown}"))
        })
    }

    /// Applies defaults and rules. `web_port` is the text of `WEB_PORT` with the name of the file it is from.
    ///
    /// # Errors
    /// One Config fault with all mistakes as its reasons.
    pub fn resolve(file: &ConfigFile, web_port: Option<(&str, &str)>) -> Result<Config> {
        let mut mistakes = Mistakes::default();
        if let Some(version) = file.version.filter(|version| *version != 1) {
            mistakes.add(format!("version = {version}: this k3s-vm reads version 1"));
        }
        let api = mistakes.port("ports.api", file.ports.api, DEFAULT_API_PORT);
        let ssh = mistakes.port("ports.ssh", file.ports.ssh, DEFAULT_SSH_PORT);
        let web = match (file.ports.web, web_port) {
            (Some(_), _) => Some(mistakes.port("ports.web", file.ports.web, DEFAULT_API_PORT)),
            (None, Some((text, source))) => {
                let port = Port::parse(text);
                if port.is_none() {
                    mistakes.add(format!("WEB_PORT={text} in {source}: not a port (1 to 65535)"));
                }
                port
            }
            (None, None) => {
                mistakes.add("WEB_PORT is not set: add a line such as WEB_PORT=30080 to .env".to_owned());
                None
            }
        };
        if let Some(web) = web {
            for (name, one, other_name, other) in [
                ("ports.api", api, "ports.ssh", ssh),
                ("ports.api", api, "WEB_PORT", web),
                ("ports.ssh", ssh, "WEB_PORT", web),
            ] {
                if one == other {
                    mistakes.add(format!("{name} and {other_name} are both {one}: each needs a port of its own"));
                }
            }
        }
        let config = Config {
            ports: Ports {
                bind: mistakes.parse(
                    "ports.bind",
                    file.ports.bind.as_deref(),
                    IpAddr::V4(Ipv4Addr::LOCALHOST),
                    |text| text.parse().map_err(|_| "not an IP address".to_owned()),
                ),
                api,
                ssh,
                web: web.unwrap_or(DEFAULT_API_PORT),
            },
            vm: VmConfig {
                cpus: mistakes.within("vm.cpus", file.vm.cpus, 1, 64, 2),
                memory: mistakes.size("vm.memory", file.vm.memory.as_deref(), GIB, 2 * GIB),
                accel: mistakes.choice(
                    "vm.accel",
                    file.vm.accel.as_deref(),
                    &[("auto", Accel::Auto), ("tcg", Accel::Tcg), ("kvm", Accel::Kvm)],
                ),
            },
            image: ImageConfig {
                provider: mistakes.choice(
                    "image.provider",
                    file.image.provider.as_deref(),
                    &[("auto", Provider::Auto), ("debian", Provider::Debian), ("prebuilt", Provider::Prebuilt)],
                ),
                distribution: mistakes.choice(
                    "image.distribution",
                    file.image.distribution.as_deref(),
                    &[("auto", Distribution::Auto), ("kubernetes", Distribution::Kubernetes)],
                ),
                folder: file.image.folder.clone(),
                disk: mistakes.size("image.disk", file.image.disk.as_deref(), 4 * GIB, 20 * GIB),
            },
            web_folder: file.web.folder.clone().unwrap_or_else(|| "web".to_owned()),
            inject: mistakes.choice(
                "inject.mode",
                file.inject.mode.as_deref(),
                &[("secret", InjectMode::Secret), ("env", InjectMode::Env), ("off", InjectMode::Off)],
            ),
            timeouts: Timeouts {
                start: mistakes.duration("timeouts.start", file.timeouts.start.as_deref(), Duration::from_secs(900)),
                stop: mistakes.duration("timeouts.stop", file.timeouts.stop.as_deref(), Duration::from_secs(60)),
                build: mistakes.duration("timeouts.build", file.timeouts.build.as_deref(), Duration::from_secs(3600)),
            },
            images: file
                .images
                .iter()
                .enumerate()
                .filter_map(|(index, image)| mistakes.container_image(index, image))
                .collect(),
        };
        if config.image.provider == Provider::Prebuilt && config.image.folder.is_none() {
            mistakes.add("image.provider = \"prebuilt\" needs image.folder".to_owned());
        }
        mistakes.into_result(config)
    }
}

#[cfg(test)]
mod tests;
