//! The nixpkgs from which a NixOS guest is built, instead of the pinned one.

/// A nixpkgs that the user chose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Nixpkgs {
    /// A directory, relative to the project.
    Directory(String),
    /// The URL of an archive.
    Archive(String),
    /// The newest archive of a channel: `nixos-26.05`.
    Channel(String),
}

impl Nixpkgs {
    /// Reads `channel:NAME`, a URL, or a path, which has a slash or is `.` or `..`.
    ///
    /// # Errors
    /// A text that says what is possible.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(name) = text.strip_prefix("channel:") {
            let legal = !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
                && !name.starts_with('.');
            return match legal {
                true => Ok(Nixpkgs::Channel(name.to_owned())),
                false => Err("not the name of a channel such as nixos-26.05".to_owned()),
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
    fn directories_urls_and_channels_are_told_apart() {
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
    fn anything_else_is_refused() {
        for text in ["nixos-26.05", "nixpkgs", "channel:", "channel:a/b", "channel:..", "channel:a\"b", "ftp:x"] {
            assert!(Nixpkgs::parse(text).is_err(), "{text}");
        }
    }
}
