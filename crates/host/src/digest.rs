//! SHA-256 digests.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use model::Result;
use sha2::{Digest, Sha256 as Algorithm};

use crate::io_error::at_path;

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256([u8; 32]);

impl Sha256 {
    /// Parses 64 hexadecimal digits; `None` if `text` is anything else.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let mut bytes = [0; 32];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
        }
        Some(Sha256(bytes))
    }

    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut digest = Running::default();
        digest.add(bytes);
        digest.finish()
    }

    /// The digest of a file's content.
    ///
    /// # Errors
    /// An error that names the path.
    pub fn of_file(path: &Path) -> Result<Self> {
        let mut digest = Running::default();
        let read = File::open(path).and_then(|mut file| digest.add_all(&mut file));
        read.map_err(|error| at_path("read", path, &error))?;
        Ok(digest.finish())
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The digest of a stream of bytes.
#[derive(Default)]
pub struct Running(Algorithm);

impl Running {
    /// Adds the next bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Adds all bytes of `source`.
    pub(crate) fn add_all(&mut self, source: &mut impl Read) -> io::Result<()> {
        let mut piece = vec![0; 1 << 16];
        loop {
            match source.read(&mut piece) {
                Ok(0) => return Ok(()),
                Ok(count) => self.add(&piece[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The digest of all bytes added.
    pub fn finish(self) -> Sha256 {
        Sha256(self.0.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the standard's examples (FIPS 180-4), the one of "abc".
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn a_digest_is_written_as_it_is_read_whatever_the_case() {
        assert_eq!(Sha256::of(b"abc").to_string(), ABC);
        assert_eq!(Sha256::parse(&ABC.to_uppercase()), Some(Sha256::of(b"abc")));
        for text in ["", "abc", &ABC[1..], &format!("{ABC}0"), &ABC.replace('b', "g"), &ABC.replace("ba", "é")] {
            assert_eq!(Sha256::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_file_has_the_digest_of_its_content() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let bytes: Vec<u8> = (0..200_000_u32).map(|number| (number % 251) as u8).collect();
        std::fs::write(file.path(), &bytes).unwrap();
        assert_eq!(Sha256::of_file(file.path()).unwrap(), Sha256::of(&bytes));
        assert!(Sha256::of_file(Path::new("/no/such/file")).is_err());
    }
}
