//! Reads `contract.json` of a distribution: what it needs, what it installs in a guest, and what the host may rely on.

use std::collections::BTreeMap;
use std::path::Path;

use model::{Error, ErrorClass, Result};
use serde::Deserialize;

/// The schema that this version reads.
const SCHEMA: u32 = 1;

/// The contract of a distribution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Contract {
    /// Path of the admin kubeconfig in the guest.
    pub(crate) kubeconfig: String,
    /// The systemd unit without which the cluster cannot run.
    pub(crate) service: String,
    /// Path of containerd's socket in the guest.
    pub(crate) containerd_socket: String,
    /// The name of the node.
    pub(crate) node_name: String,
    /// How long a certificate of the API lives, in days.
    pub(crate) certificate_days: u32,
    /// The programs and their paths in the guest.
    pub(crate) install: Vec<Installed>,
    /// The directory that is copied over the tree, relative to the contract.
    pub(crate) overlay: String,
    /// The Debian packages that it needs.
    pub(crate) debian_packages: Vec<String>,
    /// How its programs are built, if it is built from source.
    pub(crate) build: Option<GoBuild>,
}

/// How a distribution is built from Go modules. In the commands, `{bin}` is replaced by the directory of the built
/// programs and `{root}` by the guest's tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GoBuild {
    /// The version of Kubernetes: `v1.37.2`.
    pub(crate) kubernetes_version: String,
    /// The oldest version of Go that can build it.
    pub(crate) minimum_go: String,
    /// Environment variables of the build.
    pub(crate) environment: BTreeMap<String, String>,
    /// The build command without the packages.
    pub(crate) command: Vec<String>,
    /// The Go packages. Each becomes a program with the name of the last part of its path.
    pub(crate) packages: Vec<String>,
    /// The command that imports container images into the tree's containerd.
    pub(crate) seed: Vec<String>,
}

/// The fields of the file.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    schema: u32,
    kubeconfig: String,
    service: String,
    containerd_socket: String,
    #[serde(rename = "containerdNamespace")]
    _containerd_namespace: String,
    node_name: String,
    certificate_days: u32,
    install: Vec<Installed>,
    overlay: String,
    debian_packages: Vec<String>,
    kubernetes_version: Option<String>,
    minimum_go: Option<String>,
    build_environment: Option<BTreeMap<String, String>>,
    build_command: Option<Vec<String>>,
    go_packages: Option<Vec<String>>,
    seed_command: Option<Vec<String>>,
}

impl File {
    /// The fields of the build: all of them or none.
    fn build(&mut self) -> Result<Option<GoBuild>, String> {
        let complete = (
            self.kubernetes_version.take(),
            self.minimum_go.take(),
            self.build_environment.take(),
            self.build_command.take(),
            self.go_packages.take(),
            self.seed_command.take(),
        );
        match complete {
            (None, None, None, None, None, None) => Ok(None),
            (
                Some(kubernetes_version),
                Some(minimum_go),
                Some(environment),
                Some(command),
                Some(packages),
                Some(seed),
            ) => Ok(Some(GoBuild { kubernetes_version, minimum_go, environment, command, packages, seed })),
            _ => Err("it has only some of the fields of a build".to_owned()),
        }
    }
}

/// A program that is installed in the guest.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Installed {
    /// The name in the directory of built programs.
    pub(crate) from: String,
    /// The path in the guest.
    pub(crate) to: String,
    /// The permissions, octal.
    pub(crate) mode: String,
}

impl Contract {
    /// Reads `contract.json` in `directory`.
    ///
    /// # Errors
    /// A Failed error that names the file.
    pub(crate) fn read(directory: &Path) -> Result<Self> {
        let path = directory.join("contract.json");
        let text = std::fs::read_to_string(&path).map_err(|error| host::io_error::at_path("read", &path, &error))?;
        Self::parse(&text)
            .map_err(|why| Error::new(ErrorClass::Failed, format!("{} cannot be used", path.display())).because(why))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut file: File = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if file.schema != SCHEMA {
            return Err(format!("it has schema {}, this k3s-vm reads schema {SCHEMA}", file.schema));
        }
        let build = file.build()?;
        Ok(Contract {
            kubeconfig: file.kubeconfig,
            service: file.service,
            containerd_socket: file.containerd_socket,
            node_name: file.node_name,
            certificate_days: file.certificate_days,
            install: file.install,
            overlay: file.overlay,
            debian_packages: file.debian_packages,
            build,
        })
    }
}

/// Replaces `{bin}` in `text`.
pub(crate) fn filled(text: &str, bin: &Path) -> String {
    text.replace("{bin}", &bin.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_repository(distribution: &str) -> Contract {
        Contract::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guest").join(distribution)).unwrap()
    }

    #[test]
    fn the_repositorys_contracts_can_be_read() {
        for distribution in ["kubernetes", "k3s"] {
            let contract = of_repository(distribution);
            assert_eq!(contract.node_name, "k3s-vm");
            for program in &contract.install {
                assert!(program.to.starts_with('/'));
                assert!(u32::from_str_radix(&program.mode, 8).is_ok());
            }
        }
    }

    #[test]
    fn everything_that_is_installed_is_built() {
        let contract = of_repository("kubernetes");
        let build = contract.build.unwrap();
        for program in &contract.install {
            let is_built = build.packages.iter().any(|package| package.rsplit('/').next() == Some(&program.from));
            assert!(is_built, "nothing builds {}", program.from);
        }
        assert_eq!(of_repository("k3s").build, None);
    }

    #[test]
    fn a_build_has_all_of_its_fields_or_none() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guest/kubernetes/contract.json");
        let mut json: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        json.as_object_mut().unwrap().remove("goPackages");
        insta::assert_snapshot!(Contract::parse(&json.to_string()).unwrap_err(), @"it has only some of the fields of a build");
    }

    #[test]
    fn another_schema_is_refused() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guest/kubernetes/contract.json");
        let text = std::fs::read_to_string(path).unwrap().replace("\"schema\": 1", "\"schema\": 2");
        insta::assert_snapshot!(Contract::parse(&text).unwrap_err(), @"it has schema 2, this k3s-vm reads schema 1");
    }

    #[test]
    fn the_directory_of_programs_is_filled_in() {
        assert_eq!(filled("{bin}/seed:{root}", Path::new("/b")), "/b/seed:{root}");
    }
}
