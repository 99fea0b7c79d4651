//! The digest that names a part of a container image: `sha256:` and 64 lower-case hexadecimal digits. A parsed digest
//! is safe in a path or an argument.
//!
//! Pure.

use std::fmt;

use host::digest::Sha256;
use serde::de::{Deserialize, Deserializer, Error};

const ALGORITHM: &str = "sha256:";

/// A digest, `sha256:…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageDigest(Sha256);

impl ImageDigest {
    /// Reads `sha256:…`; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        Self::of_hexadecimal(text.strip_prefix(ALGORITHM)?)
    }

    /// Reads the digits alone, as files of an archive are named.
    pub(crate) fn of_hexadecimal(digits: &str) -> Option<Self> {
        let lower = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if lower { Sha256::parse(digits).map(ImageDigest) } else { None }
    }

    /// The digest of `content`.
    pub fn of(content: &[u8]) -> Self {
        ImageDigest(Sha256::of(content))
    }

    /// The digits alone.
    pub(crate) fn hexadecimal(&self) -> String {
        self.0.to_string()
    }

    /// The path of this digest's blob in an OCI image layout.
    pub(crate) fn blob_path(&self) -> String {
        format!("blobs/sha256/{}", self.0)
    }
}

impl From<Sha256> for ImageDigest {
    fn from(digest: Sha256) -> Self {
        ImageDigest(digest)
    }
}

impl fmt::Display for ImageDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{ALGORITHM}{}", self.0)
    }
}

impl<'de> Deserialize<'de> for ImageDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        ImageDigest::parse(&text).ok_or_else(|| {
            let shown: String = text.chars().take(80).collect();
            D::Error::custom(format!("{shown:?} is no digest, which is `sha256:` and 64 hexadecimal digits"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_of_a_script_is_no_digest() {
        let good = format!("sha256:{}", "0123456789abcdef".repeat(4));
        assert_eq!(ImageDigest::parse(&good).unwrap().to_string(), good);
        let digits = &good[7..];
        for bad in [
            "",
            "sha256:",
            digits,
            &format!("{good}; touch /root/pwned;"),
            &format!("sha256:'; touch /root/pwned; '{digits}"),
            &format!("{good}\n"),
            &format!("{good}0"),
            &good[..70],
            &good.to_uppercase(),
            &format!("sha256:{}", digits.to_uppercase()),
            &format!("SHA256:{digits}"),
            &format!("sha512:{digits}{digits}"),
            &format!("sha256:../../../{}", &digits[9..]),
            &format!("sha256:{}é", &digits[2..]),
            "sha256:12",
        ] {
            assert_eq!(ImageDigest::parse(bad), None, "{bad:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn parsed_digests_have_the_form_of_one(text in "(sha256:)?[0-9a-fA-F'; ]{60,66}") {
            if let Some(digest) = ImageDigest::parse(&text) {
                proptest::prop_assert_eq!(digest.to_string(), text.clone());
                proptest::prop_assert!(text[7..].bytes().all(|byte| byte.is_ascii_hexdigit()));
            }
        }
    }
}
