//! `contract.json` of a distribution that is built from source: what it needs and what it brings into a guest.
//!
//! The file belongs to the distribution; this is its reader.

use std::collections::BTreeMap;
use std::path::Path;

use model::{Fault, FaultClass, Result};
use serde::Deserialize;

/// The schema that this version reads.
const SCHEMA: u32 = 1;

/// What a distribution says of itself. `{bin}` stands for the folder of the built programs, `{root}` for the tree.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Contract {
    schema: u32,
    /// `v1.37.2`.
    pub(crate) kubernetes_version: String,
    /// Path of the admin kubeconfig in the guest.
    pub(crate) kubeconfig: String,
    /// The unit whose failure means that the cluster cannot come up.
    pub(crate) service: String,
    /// Path of containerd's socket in the guest.
    pub(crate) containerd_socket: String,
    #[serde(rename = "containerdNamespace")]
    _containerd_namespace: String,
    /// The node's name.
    pub(crate) node_name: String,
    /// How long a certificate of the API lives, in days.
    pub(crate) certificate_days: u32,
    /// The oldest Go that builds it.
    pub(crate) minimum_go: String,
    /// Variables of the build.
    pub(crate) build_environment: BTreeMap<String, String>,
    /// The build without the packages.
    pub(crate) build_command: Vec<String>,
    /// The packages, each a program named like the last part of its path.
    pub(crate) go_packages: Vec<String>,
    /// Which programs go where.
    pub(crate) install: Vec<Installed>,
    /// The folder that is copied over the tree, relative to the contract.
    pub(crate) overlay: String,
    /// The command that fills the tree's containerd with images.
    pub(crate) seed_command: Vec<String>,
    /// Debian packages that it needs.
    pub(crate) debian_packages: Vec<String>,
}

/// A program and its place in the guest.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Installed {
    /// Its name in the folder of programs.
    pub(crate) from: String,
    /// Its path in the guest.
    pub(crate) to: String,
    /// Its permissions, octal.
    pub(crate) mode: String,
}

impl Contract {
    /// Reads `contract.json` in `folder`.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("contract.json");
        let text = std::fs::read_to_string(&path).map_err(|error| host::io_fault::at_path("read", &path, &error))?;
        Self::parse(&text)
            .map_err(|why| Fault::new(FaultClass::Failed, format!("{} cannot be used", path.display())).because(why))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let contract: Contract = serde_json::from_str(text).map_err(|error| error.to_string())?;
        match contract.schema {
            SCHEMA => Ok(contract),
            other => Err(format!("it has schema {other}, this k3s-vm reads schema {SCHEMA}")),
        }
    }
}

/// `text` with `{bin}` and `{root}` filled in.
pub(crate) fn filled(text: &str, bin: &Path, root: &Path) -> String {
    text.replace("{bin}", &bin.to_string_lossy()).replace("{root}", &root.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repositorys_contract_can_be_read() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guest/kubernetes");
        let contract = Contract::read(&folder).unwrap();
        assert_eq!(contract.node_name, "k3s-vm");
        for program in &contract.install {
            assert!(
                contract.go_packages.iter().any(|package| package.rsplit('/').next() == Some(&program.from)),
                "nothing builds {}",
                program.from
            );
            assert!(program.to.starts_with('/'));
            assert!(u32::from_str_radix(&program.mode, 8).is_ok());
        }
    }

    #[test]
    fn another_schema_is_refused() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guest/kubernetes/contract.json");
        let text = std::fs::read_to_string(path).unwrap().replace("\"schema\": 1", "\"schema\": 2");
        insta::assert_snapshot!(Contract::parse(&text).unwrap_err(), @"it has schema 2, this k3s-vm reads schema 1");
    }

    #[test]
    fn places_are_filled_in() {
        let filled = filled("{bin}/seed:{root}", Path::new("/b"), Path::new("/r"));
        assert_eq!(filled, "/b/seed:/r");
    }
}
