//! The section `[k3s]` of the configuration: the K3s release of the guest, and where it is downloaded from.
//!
//! It only reads texts; the release of a channel is looked up elsewhere.

use std::fmt;

use super::nearest::hint;

/// The K3s release for the distribution `k3s`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct K3sConfig {
    /// A channel or an exact version.
    pub version: K3sVersion,
    /// The base URL of a mirror of the releases.
    pub mirror: Option<String>,
    /// A K3s binary on this host instead of a release, relative to the project.
    pub binary: Option<String>,
    /// An archive of container images for `binary`, relative to the project.
    pub images: Option<String>,
    /// Whether K3s's container images are part of the guest image; otherwise the guest pulls them.
    pub airgap: bool,
    /// Packaged components to leave out (`traefik`, `servicelb`, …).
    pub disable: Vec<String>,
}

impl Default for K3sConfig {
    fn default() -> Self {
        K3sConfig {
            version: K3sVersion::default(),
            mirror: None,
            binary: None,
            images: None,
            airgap: true,
            disable: Vec::new(),
        }
    }
}

/// The packaged components that K3s can leave out (`--disable` of `k3s server --help`).
pub const COMPONENTS: [&str; 6] = ["coredns", "servicelb", "traefik", "local-storage", "metrics-server", "runtimes"];

impl K3sConfig {
    /// A warning for each word of `disable` that K3s does not know. K3s ignores such a word silently, so that the
    /// component runs.
    pub fn unknown_components(&self) -> Vec<String> {
        // K3s also takes several in one word.
        let words = self.disable.iter().flat_map(|word| word.split(',')).map(str::trim);
        let unknown = words.filter(|word| !COMPONENTS.contains(word));
        unknown
            .map(|word| {
                let known = COMPONENTS.join(", ");
                let hint = hint(word, COMPONENTS.into_iter());
                format!("k3s.disable: K3s ignores {word:?}, which it does not know; it knows {known}{hint}")
            })
            .collect()
    }
}

/// The wanted K3s release.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum K3sVersion {
    /// The release of a channel: `stable`, `latest`, `testing`, or a minor version such as `v1.33`.
    Channel(String),
    /// An exact release: `v1.33.5+k3s1`.
    Exact(String),
}

impl Default for K3sVersion {
    fn default() -> Self {
        K3sVersion::Channel("stable".to_owned())
    }
}

impl fmt::Display for K3sVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            K3sVersion::Channel(text) | K3sVersion::Exact(text) => f.write_str(text),
        }
    }
}

impl K3sVersion {
    /// Reads a channel (`stable`, `latest`, `testing`, `v1.33`) or a release (`v1.33.5+k3s1`, `v1.34.0-rc1+k3s1`).
    ///
    /// # Errors
    /// A text that says what is possible.
    pub fn parse(text: &str) -> Result<Self, String> {
        if matches!(text, "stable" | "latest" | "testing") {
            return Ok(K3sVersion::Channel(text.to_owned()));
        }
        let numbers = text.strip_prefix('v').unwrap_or_default();
        if is_numbers(numbers, 2) {
            return Ok(K3sVersion::Channel(text.to_owned()));
        }
        if is_release(text) {
            return Ok(K3sVersion::Exact(text.to_owned()));
        }
        Err(WANTED.to_owned())
    }
}

const WANTED: &str = "neither a channel (stable, latest, v1.33) nor a version (v1.33.5+k3s1)";

/// Whether `text` is the tag of a release: `v1.33.5+k3s1`, `v1.34.0-rc1+k3s1`.
pub fn is_release(text: &str) -> bool {
    let Some((version, build)) = text.strip_prefix('v').and_then(|rest| rest.split_once("+k3s")) else { return false };
    let (numbers, candidate) = match version.split_once("-rc") {
        Some((numbers, candidate)) => (numbers, Some(candidate)),
        None => (version, None),
    };
    is_numbers(numbers, 3) && is_number(build) && candidate.is_none_or(is_number)
}

/// Whether `text` is `count` numbers with dots between them.
fn is_numbers(text: &str, count: usize) -> bool {
    text.split('.').count() == count && text.split('.').all(is_number)
}

fn is_number(text: &str) -> bool {
    (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn channels_and_releases_are_told_apart() {
        for text in ["stable", "latest", "testing", "v1.33", "v1.9"] {
            assert_eq!(K3sVersion::parse(text), Ok(K3sVersion::Channel(text.to_owned())), "{text}");
        }
        for text in ["v1.33.5+k3s1", "v1.9.10+k3s12", "v1.34.0-rc1+k3s1"] {
            assert_eq!(K3sVersion::parse(text), Ok(K3sVersion::Exact(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_what_is_possible() {
        for text in [
            "",
            "v",
            "1.33",
            "v1",
            "v1.33.5",
            "v1.33.5+k3s",
            "v1.33.5+rke2r1",
            "v1.33.5%2Bk3s1",
            "Stable",
            "v1.x",
            "v1.33.5-beta1+k3s1",
            "v1.33+k3s1",
            "v1.33.5+k3s1/../..",
            " stable",
            "v1.33.5+k3s1 ",
            "v1.33.5-rc/../x+k3s1",
        ] {
            assert_eq!(K3sVersion::parse(text), Err(WANTED.to_owned()), "{text:?}");
        }
    }

    #[test]
    fn a_misspelt_component_was_ignored_silently() {
        let of = |words: &[&str]| {
            let disable = words.iter().map(|word| (*word).to_owned()).collect();
            K3sConfig { disable, ..K3sConfig::default() }.unknown_components()
        };
        assert_eq!(of(&[]), [""; 0]);
        assert_eq!(of(&COMPONENTS), [""; 0]);
        assert_eq!(of(&["traefik,servicelb"]), [""; 0]);
        insta::assert_snapshot!(of(&["metric-server", "Traefik", "klipper"]).join("\n"), @r#"
        k3s.disable: K3s ignores "metric-server", which it does not know; it knows coredns, servicelb, traefik, local-storage, metrics-server, runtimes; did you mean metrics-server?
        k3s.disable: K3s ignores "Traefik", which it does not know; it knows coredns, servicelb, traefik, local-storage, metrics-server, runtimes; did you mean traefik?
        k3s.disable: K3s ignores "klipper", which it does not know; it knows coredns, servicelb, traefik, local-storage, metrics-server, runtimes
        "#);
    }

    #[test]
    fn the_default_is_the_stable_channel() {
        assert_eq!(K3sVersion::parse("stable"), Ok(K3sVersion::default()));
    }

    proptest! {
        /// The version becomes part of URLs and file names.
        #[test]
        fn what_is_accepted_is_harmless_in_a_url_and_shown_as_typed(text in "[a-z0-9.+/%-]{0,24}|\\PC{0,12}") {
            if let Ok(version) = K3sVersion::parse(&text) {
                prop_assert_eq!(version.to_string(), text.clone());
                prop_assert!(text.chars().all(|c| c.is_ascii_alphanumeric() || ".+-".contains(c)));
                prop_assert!(!text.contains(".."));
            }
        }
    }
}
