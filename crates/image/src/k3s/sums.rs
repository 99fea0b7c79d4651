//! The checksum file of a release: a digest and a name a line, as sha256sum(1) writes it. Pure.

use host::digest::Sha256;

/// The digest of the file `name`; nothing where the text has none.
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
