//! The addresses and checksums of K3s releases. Pure.
//!
//! The layout is that of K3s's installation script: a channel's address redirects to one that ends with the version of
//! a release; the files of a release are in a directory with that version as its name.

use host::digest::Sha256;
use model::config::k3s::is_release;

/// The server of the channels.
const CHANNELS: &str = "https://update.k3s.io/v1-release/channels";
/// The host of the releases.
const FILES: &str = "https://github.com/k3s-io/k3s/releases/download";

/// The program for x86_64.
pub(super) const PROGRAM: &str = "k3s";
/// The archive of container images for x86_64.
pub(super) const IMAGES: &str = "k3s-airgap-images-amd64.tar.zst";
/// The checksum file for both.
pub(super) const SUMS: &str = "sha256sum-amd64.txt";

/// A release of K3s.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Release {
    /// The version: `v1.33.5+k3s1`.
    pub(super) version: String,
    /// The digest of the program.
    pub(super) program: Sha256,
    /// The digest of the archive of container images.
    pub(super) images: Sha256,
}

/// The address of a channel. A mirror serves everything: channels and files.
pub(super) fn channel(mirror: Option<&str>, name: &str) -> String {
    match mirror {
        Some(mirror) => format!("{}/channels/{name}", mirror.trim_end_matches('/')),
        None => format!("{CHANNELS}/{name}"),
    }
}

/// The address of a file of a release.
pub(super) fn file(mirror: Option<&str>, release: &str, name: &str) -> String {
    let base = mirror.map_or(FILES, |mirror| mirror.trim_end_matches('/'));
    format!("{base}/{}/{name}", release.replace('+', "%2B"))
}

/// The release in a channel's answer: the end of the address to which it redirects, or the text of its answer.
pub(super) fn release_of(answer: &str) -> Option<String> {
    let last = answer.trim().trim_end_matches('/').rsplit('/').next()?.replace("%2B", "+").replace("%2b", "+");
    is_release(&last).then_some(last)
}

/// The digest of the file `name` in a checksum file as sha256sum(1) writes it: lines of a digest and a name.
pub(super) fn digest_of(text: &str, name: &str) -> Option<Sha256> {
    text.lines().find_map(|line| {
        let (digest, file) = line.trim().split_once(char::is_whitespace)?;
        // An asterisk marks a binary file.
        let file = file.trim_start();
        (file.strip_prefix('*').unwrap_or(file) == name).then(|| Sha256::parse(digest))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_public_hosts_and_of_a_mirror() {
        let release = "v1.33.5+k3s1";
        for (address, expected) in [
            (channel(None, "stable"), "https://update.k3s.io/v1-release/channels/stable"),
            (channel(Some("https://m.example/k3s/"), "v1.33"), "https://m.example/k3s/channels/v1.33"),
            (file(None, release, PROGRAM), "https://github.com/k3s-io/k3s/releases/download/v1.33.5%2Bk3s1/k3s"),
            (file(Some("http://m.example"), release, SUMS), "http://m.example/v1.33.5%2Bk3s1/sha256sum-amd64.txt"),
        ] {
            assert_eq!(address, expected);
        }
    }

    #[test]
    fn a_channels_answer_has_a_release_or_none() {
        for (answer, expected) in [
            ("https://github.com/k3s-io/k3s/releases/tag/v1.33.5+k3s1", Some("v1.33.5+k3s1")),
            ("https://github.com/k3s-io/k3s/releases/tag/v1.33.5%2Bk3s1/", Some("v1.33.5+k3s1")),
            ("../v1.34.0-rc1%2bk3s2", Some("v1.34.0-rc1+k3s2")),
            ("v1.33.5+k3s1\n", Some("v1.33.5+k3s1")),
            ("https://login.example/?next=v1.33.5+k3s1", None),
            ("<html>", None),
            ("", None),
        ] {
            assert_eq!(release_of(answer).as_deref(), expected, "{answer}");
        }
    }

    #[test]
    fn lines_are_found_by_the_whole_name() {
        let (one, other) = (Sha256::of(b"one"), Sha256::of(b"other"));
        let text = format!("# sums\n{other}  k3s-arm64\n{one}  k3s\r\n{other} *k3s-images.txt\nnonsense  broken\n");
        assert_eq!(digest_of(&text, "k3s"), Some(one));
        assert_eq!(digest_of(&text, "k3s-images.txt"), Some(other));
        assert_eq!(digest_of(&text, "broken"), None);
        assert_eq!(digest_of(&text, "k3"), None);
        assert_eq!(digest_of("<html>", "k3s"), None);
    }
}
