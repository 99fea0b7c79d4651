//! Translates the project's configuration to `settings.json` for `guest/nixos` (see its README), as far as a NixOS
//! guest supports it. Pure.

use model::config::k3s::K3sVersion;
use model::config::{Distribution, ImageConfig, K3sConfig, Nixpkgs};
use serde::Serialize;

/// The schema that `guest/nixos` reads.
const SCHEMA: u32 = 1;
/// The server with the newest archive of each channel.
pub(super) const CHANNELS: &str = "https://channels.nixos.org";

/// The content of `settings.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Settings {
    schema: u32,
    system: String,
    k3s_minor: Option<String>,
    disable: Vec<String>,
    airgap_images: bool,
    #[serde(rename = "diskMiB")]
    disk_mib: u64,
}

impl Settings {
    /// The settings for a host of this architecture (`x86_64`).
    ///
    /// # Errors
    /// What the configuration asks for and a NixOS guest cannot have, as a clause.
    pub(super) fn of(image: &ImageConfig, k3s: &K3sConfig, architecture: &str) -> Result<Self, String> {
        if image.distribution == Distribution::Kubernetes {
            return Err("image.distribution = \"kubernetes\" runs in a Debian guest only".to_owned());
        }
        for (key, value) in [("k3s.binary", &k3s.binary), ("k3s.images", &k3s.images), ("k3s.mirror", &k3s.mirror)] {
            if value.is_some() {
                return Err(format!("{key} is set, and the K3s of a NixOS guest comes from nixpkgs"));
            }
        }
        Ok(Settings {
            schema: SCHEMA,
            system: format!("{architecture}-linux"),
            k3s_minor: minor(&k3s.version)?,
            disable: k3s.disable.clone(),
            airgap_images: k3s.airgap,
            disk_mib: image.disk >> 20,
        })
    }

    /// The text of the file.
    pub(super) fn render(&self) -> String {
        // A structure of strings and numbers can always be serialised.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}

/// The minor version that nixpkgs must have. None for its default.
fn minor(version: &K3sVersion) -> Result<Option<String>, String> {
    match version {
        K3sVersion::Channel(name) if name == "stable" => Ok(None),
        K3sVersion::Channel(name) => match name.strip_prefix('v') {
            Some(numbers) => Ok(Some(numbers.to_owned())),
            None => {
                Err(format!("k3s.version = \"{name}\" is a channel of the releases, which nixpkgs does not follow"))
            }
        },
        K3sVersion::Exact(release) => Err(format!(
            "k3s.version = \"{release}\" names one release, and nixpkgs has one K3s for each minor version, such as v1.35"
        )),
    }
}

/// The arguments of `nix-build` for the user's nixpkgs. Directories are relative to `project`.
pub(super) fn nixpkgs_arguments(nixpkgs: &Nixpkgs, project: &std::path::Path) -> [std::ffi::OsString; 3] {
    let archive =
        |address: &str| ["--arg".into(), "nixpkgs".into(), format!("(fetchTarball {})", quoted(address)).into()];
    match nixpkgs {
        Nixpkgs::Directory(directory) => ["--argstr".into(), "nixpkgs".into(), project.join(directory).into()],
        Nixpkgs::Archive(address) => archive(address),
        Nixpkgs::Channel(name) => archive(&format!("{CHANNELS}/{name}/nixexprs.tar.xz")),
    }
}

/// `text` as a string literal of the Nix language.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace("${", "\\${"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use model::config::Provider;

    use super::*;

    fn image() -> ImageConfig {
        ImageConfig {
            provider: Provider::Nix,
            distribution: Distribution::Auto,
            directory: None,
            disk: 20 << 30,
            nixpkgs: None,
            offline: false,
        }
    }

    #[test]
    fn the_configuration_becomes_the_settings_that_the_guest_reads() {
        let k3s = K3sConfig {
            version: K3sVersion::Channel("v1.35".to_owned()),
            disable: vec!["traefik".to_owned()],
            airgap: false,
            ..K3sConfig::default()
        };
        insta::assert_snapshot!(Settings::of(&image(), &k3s, "x86_64").unwrap().render(), @r#"
        {
          "schema": 1,
          "system": "x86_64-linux",
          "k3sMinor": "1.35",
          "disable": [
            "traefik"
          ],
          "airgapImages": false,
          "diskMiB": 20480
        }
        "#);
        let plain = Settings::of(&image(), &K3sConfig::default(), "aarch64").unwrap();
        assert_eq!((plain.k3s_minor, plain.airgap_images, plain.system.as_str()), (None, true, "aarch64-linux"));
    }

    #[test]
    fn what_a_nixos_guest_cannot_have_is_told() {
        let kubernetes = ImageConfig { distribution: Distribution::Kubernetes, ..image() };
        let version = |version| K3sConfig { version, ..K3sConfig::default() };
        let told: Vec<String> = [
            (kubernetes, K3sConfig::default()),
            (image(), K3sConfig { binary: Some("k3s".to_owned()), ..K3sConfig::default() }),
            (image(), K3sConfig { mirror: Some("https://m".to_owned()), ..K3sConfig::default() }),
            (image(), version(K3sVersion::Channel("latest".to_owned()))),
            (image(), version(K3sVersion::Exact("v1.35.6+k3s1".to_owned()))),
        ]
        .iter()
        .map(|(image, k3s)| Settings::of(image, k3s, "x86_64").unwrap_err())
        .collect();
        insta::assert_snapshot!(told.join("\n"), @r#"
        image.distribution = "kubernetes" runs in a Debian guest only
        k3s.binary is set, and the K3s of a NixOS guest comes from nixpkgs
        k3s.mirror is set, and the K3s of a NixOS guest comes from nixpkgs
        k3s.version = "latest" is a channel of the releases, which nixpkgs does not follow
        k3s.version = "v1.35.6+k3s1" names one release, and nixpkgs has one K3s for each minor version, such as v1.35
        "#);
    }

    #[test]
    fn the_users_nixpkgs_is_a_path_or_an_archive() {
        let told: Vec<String> = [
            Nixpkgs::Directory("./my nixpkgs".to_owned()),
            Nixpkgs::Directory("/nixpkgs".to_owned()),
            Nixpkgs::Archive("https://example.com/a\"${b}\\c.tar.gz".to_owned()),
            Nixpkgs::Channel("nixos-26.05".to_owned()),
        ]
        .iter()
        .map(|nixpkgs| {
            let words = nixpkgs_arguments(nixpkgs, Path::new("/my project"));
            words.map(|word| host::command::quote(&word)).join(" ")
        })
        .collect();
        insta::assert_snapshot!(told.join("\n"), @r#"
        --argstr nixpkgs '/my project/./my nixpkgs'
        --argstr nixpkgs /nixpkgs
        --arg nixpkgs "(fetchTarball \"https://example.com/a\\\"\\"'${b}'"\\\\c.tar.gz\")"
        --arg nixpkgs '(fetchTarball "https://channels.nixos.org/nixos-26.05/nixexprs.tar.xz")'
        "#);
    }
}
