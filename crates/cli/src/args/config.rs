//! The flags and variables that set configuration keys.
//!
//! Their values are passed on as text, so that the configuration reports all mistakes together.

use std::ffi::OsString;
use std::path::Path;

use clap::Args;
use model::config::key::VARIABLE_PREFIX;
use model::config::{Flag, Overrides};

/// Flags that set one configuration key each.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Configuration (any key: --set KEY=VALUE)")]
pub(crate) struct ConfigArgs {
    /// Host port of the Kubernetes API
    #[arg(long, value_name = "PORT")]
    api_port: Option<String>,
    /// Host port of the guest's sshd
    #[arg(long, value_name = "PORT")]
    ssh_port: Option<String>,
    /// Host port of the web application
    #[arg(long, value_name = "PORT")]
    web_port: Option<String>,
    /// Host IPv4 address of all listeners; 0.0.0.0 for all addresses of the host
    #[arg(long, value_name = "ADDRESS")]
    bind: Option<String>,
    /// Number of virtual CPUs
    #[arg(long, value_name = "NUMBER")]
    cpus: Option<String>,
    /// RAM, for example 4GiB
    #[arg(long, value_name = "SIZE")]
    memory: Option<String>,
    /// Virtual size of the root disk of a new image, for example 40GiB
    #[arg(long, value_name = "SIZE")]
    disk: Option<String>,
    /// Accelerator of the VM: auto, tcg or kvm
    #[arg(long, value_name = "ACCELERATOR")]
    accel: Option<String>,
    /// Provider of the guest image: auto, nix, debian or prebuilt
    #[arg(long, value_name = "PROVIDER")]
    provider: Option<String>,
    /// nixpkgs for a NixOS guest: a directory, the URL of an archive, or channel:NAME
    #[arg(long, value_name = "NIXPKGS")]
    nixpkgs: Option<OsString>,
    /// Build the guest image without downloads
    #[arg(long)]
    offline: bool,
    /// Distribution in the guest: auto, k3s or kubernetes
    #[arg(long, value_name = "DISTRIBUTION")]
    distribution: Option<String>,
    /// K3s channel such as stable, or version such as v1.33.5+k3s1
    #[arg(long, value_name = "VERSION")]
    k3s_version: Option<String>,
    /// Local K3s binary to use instead of a release
    #[arg(long, value_name = "FILE")]
    k3s_binary: Option<OsString>,
    /// Local archive of K3s air-gap images to use instead of a release
    #[arg(long, value_name = "FILE")]
    k3s_images: Option<OsString>,
}

impl ConfigArgs {
    /// The flags that were passed. Their files are relative to `here`, those of the configuration file to the project.
    fn flags(&self, here: &Path) -> Vec<Flag> {
        let file = |name: &Option<OsString>| name.as_ref().map(|name| here.join(name).to_string_lossy().into_owned());
        let nixpkgs = self.nixpkgs.as_ref().map(|given| match given.to_string_lossy() {
            // Not a local file.
            text if text.starts_with("channel:") || text.contains("://") => text.into_owned(),
            _ => here.join(given).to_string_lossy().into_owned(),
        });
        let given = [
            ("--api-port", "ports.api", self.api_port.clone()),
            ("--ssh-port", "ports.ssh", self.ssh_port.clone()),
            ("--web-port", "ports.web", self.web_port.clone()),
            ("--bind", "ports.bind", self.bind.clone()),
            ("--cpus", "vm.cpus", self.cpus.clone()),
            ("--memory", "vm.memory", self.memory.clone()),
            ("--disk", "image.disk", self.disk.clone()),
            ("--accel", "vm.accel", self.accel.clone()),
            ("--provider", "image.provider", self.provider.clone()),
            ("--nixpkgs", "image.nixpkgs", nixpkgs),
            ("--offline", "image.offline", self.offline.then(|| "true".to_owned())),
            ("--distribution", "image.distribution", self.distribution.clone()),
            ("--k3s-version", "k3s.version", self.k3s_version.clone()),
            ("--k3s-binary", "k3s.binary", file(&self.k3s_binary)),
            ("--k3s-images", "k3s.images", file(&self.k3s_images)),
        ];
        let flag = |(shown, key, value): (&str, &str, Option<String>)| {
            Some(Flag { shown: shown.to_owned(), key: key.to_owned(), value: value? })
        };
        given.into_iter().filter_map(flag).collect()
    }
}

/// Reads the `KEY=VALUE` of `--set`.
///
/// # Errors
/// When there is no `=`.
pub(super) fn parse_set(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("not KEY=VALUE, such as vm.memory=4GiB")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

/// The values that override the configuration file: the flags of `arguments` and `set`, and the `variables` that begin
/// with [`VARIABLE_PREFIX`], except `others`, which are not configuration keys.
pub(crate) fn overrides(
    arguments: Option<&ConfigArgs>,
    set: &[(String, String)],
    variables: impl Iterator<Item = (OsString, OsString)>,
    others: &[String],
    here: &Path,
) -> Overrides {
    let mut flags = arguments.map(|arguments| arguments.flags(here)).unwrap_or_default();
    flags.extend(set.iter().map(|(key, value)| Flag {
        shown: "--set".to_owned(),
        key: key.clone(),
        value: value.clone(),
    }));
    let text = |text: OsString| text.to_string_lossy().into_owned();
    let variables = variables.map(|(name, value)| (text(name), text(value)));
    let variables = variables.filter(|(name, _)| name.starts_with(VARIABLE_PREFIX) && !others.contains(name));
    Overrides { flags, variables: variables.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_sets_an_existing_key() {
        let all = ConfigArgs {
            api_port: Some("1".to_owned()),
            ssh_port: Some("1".to_owned()),
            web_port: Some("1".to_owned()),
            bind: Some("1".to_owned()),
            cpus: Some("1".to_owned()),
            memory: Some("1".to_owned()),
            disk: Some("1".to_owned()),
            accel: Some("1".to_owned()),
            provider: Some("1".to_owned()),
            nixpkgs: Some("1".into()),
            offline: true,
            distribution: Some("1".to_owned()),
            k3s_version: Some("1".to_owned()),
            k3s_binary: Some("1".into()),
            k3s_images: Some("1".into()),
        };
        let flags = all.flags(Path::new("/here"));
        assert_eq!(flags.len(), 15);
        for flag in &flags {
            assert!(model::config::key::KEYS.iter().any(|key| key.name == flag.key), "{flag:?}");
        }
        assert_eq!((flags[9].value.as_str(), flags[13].value.as_str()), ("/here/1", "/here/1"));
        let channel = ConfigArgs { nixpkgs: Some("channel:nixos-26.05".into()), ..ConfigArgs::default() };
        assert_eq!(channel.flags(Path::new("/here"))[0].value, "channel:nixos-26.05");
    }

    #[test]
    fn variables_of_global_flags_set_no_key() {
        let variables = [("K3S_VM_VM_CPUS", "3"), ("K3S_VM_DEBUG", "1"), ("HOME", "/root")];
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into()));
        let overrides = overrides(None, &[], variables, &["K3S_VM_DEBUG".to_owned()], Path::new("/"));
        assert_eq!(overrides.variables, [("K3S_VM_VM_CPUS".to_owned(), "3".to_owned())]);
    }
}
