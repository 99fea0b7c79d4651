//! Which nixpkgs a NixOS guest is made from, where it is not the pinned one. Pure.

/// A nixpkgs of the user's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Nixpkgs {
    /// A directory, relative to the project.
    Directory(String),
    /// The address of an archive.
    Archive(String),
    /// The newest archive of a channel: `nixos-26.05`.
    Channel(String),
}

impl Nixpkgs {
    /// Reads `channel:nixos-26.05`, an address, or a path that has a slash or is one dot.
    ///
    /// # Errors
    /// What is possible, as text.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(name) = text.strip_prefix("channel:") {
            let legal = !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
                && !name.starts_with('.');
            return match legal {
                true => Ok(Nixpkgs::Channel(name.to_owned())),
                false => Err("no channel has such a name; one is nixos-26.05".to_owned()),
            };
        }
        if ["https://", "http://", "file://"].iter().any(|scheme| text.starts_with(scheme)) {
            return Ok(Nixpkgs::Archive(text.to_owned()));
        }
        if text.contains('/') || text == "." || text == ".." {
            return Ok(Nixpkgs::Directory(text.to_owned()));
        }
        Err("neither a directory (./nixpkgs), the address of an archive (https://…) nor channel:NAME".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_addresses_and_channels_are_told_apart() {
        for (text, expected) in [
            ("/home/me/nixpkgs", Nixpkgs::Directory("/home/me/nixpkgs".to_owned())),
            ("./nixpkgs", Nixpkgs::Directory("./nixpkgs".to_owned())),
            ("../my nixpkgs", Nixpkgs::Directory("../my nixpkgs".to_owned())),
            ("https://example.com/n.tar.gz", Nixpkgs::Archive("https://example.com/n.tar.gz".to_owned())),
            ("channel:nixos-26.05", Nixpkgs::Channel("nixos-26.05".to_owned())),
        ] {
            assert_eq!(Nixpkgs::parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn anything_else_is_told_what_is_possible() {
        for text in ["nixos-26.05", "nixpkgs", "channel:", "channel:a/b", "channel:..", "channel:a\"b", "ftp:x"] {
            assert!(Nixpkgs::parse(text).is_err(), "{text}");
        }
    }
}
