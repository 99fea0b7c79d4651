//! The flags that set keys of the configuration, and the variables that do.
//!
//! They are passed on as texts: the configuration reads them, so that all mistakes are told together.

use std::ffi::OsString;
use std::path::Path;

use clap::Args;
use model::config::key::VARIABLE_PREFIX;
use model::config::{Flag, Overrides};

/// Keys of the configuration that have a flag of their own.
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
    /// Host address of all listeners, IPv4; 0.0.0.0 for all addresses of the host
    #[arg(long, value_name = "ADDRESS")]
    bind: Option<String>,
    /// Virtual CPUs
    #[arg(long, value_name = "NUMBER")]
    cpus: Option<String>,
    /// RAM, for example 4GiB
    #[arg(long, value_name = "SIZE")]
    memory: Option<String>,
    /// Virtual size of the root disk of a new image, for example 40GiB
    #[arg(long, value_name = "SIZE")]
    disk: Option<String>,
    /// auto, tcg or kvm
    #[arg(long, value_name = "ACCELERATOR")]
    accel: Option<String>,
    /// Who makes the guest image: auto, nix, debian or prebuilt
    #[arg(long, value_name = "PROVIDER")]
    provider: Option<String>,
    /// Another nixpkgs for a NixOS guest: a directory, the address of an archive, or channel:NAME
    #[arg(long, value_name = "NIXPKGS")]
    nixpkgs: Option<OsString>,
    /// Fetch nothing to build the guest image
    #[arg(long)]
    offline: bool,
    /// What runs in the guest: auto, k3s or kubernetes
    #[arg(long, value_name = "DISTRIBUTION")]
    distribution: Option<String>,
    /// A K3s channel such as stable, or a version such as v1.33.5+k3s1
    #[arg(long, value_name = "VERSION")]
    k3s_version: Option<String>,
    /// A local K3s binary instead of a release's
    #[arg(long, value_name = "FILE")]
    k3s_binary: Option<OsString>,
    /// A local archive of K3s' air-gap images instead of a release's
    #[arg(long, value_name = "FILE")]
    k3s_images: Option<OsString>,
}

impl ConfigArgs {
    /// The flags that were given. Files are relative to `here`, unlike those of the configuration file.
    fn flags(&self, here: &Path) -> Vec<Flag> {
        let file = |name: &Option<OsString>| name.as_ref().map(|name| here.join(name).to_string_lossy().into_owned());
        let nixpkgs = self.nixpkgs.as_ref().map(|given| match given.to_string_lossy() {
            // Not a file of this machine.
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

/// Reads `KEY=VALUE` of `--set`.
pub(super) fn parse_set(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("not KEY=VALUE, such as vm.memory=4GiB")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

/// What counts before the file: `arguments` and `set` of the command line, and those of `variables` that begin with
/// [`VARIABLE_PREFIX`] and are none of `others`, which are not the configuration's.
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
    fn every_flag_sets_a_key_that_there_is() {
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
    fn only_the_configurations_variables_are_taken() {
        let variables = [("K3S_VM_VM_CPUS", "3"), ("K3S_VM_DEBUG", "1"), ("HOME", "/root")];
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into()));
        let overrides = overrides(None, &[], variables, &["K3S_VM_DEBUG".to_owned()], Path::new("/"));
        assert_eq!(overrides.variables, [("K3S_VM_VM_CPUS".to_owned(), "3".to_owned())]);
    }
}
