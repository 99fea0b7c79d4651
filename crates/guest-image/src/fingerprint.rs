//! The key of a guest image or of a part of one: a digest over named inputs.
//!
//! It reads and hashes sources, and does not know what is built from them.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use host::io_error::at_path;
use model::Result;
use sha2::{Digest, Sha256};

use crate::directory_entries::{Kind, entries};

/// A digest over named inputs. Lengths are hashed too, so that no two lists of inputs have the same bytes.
#[derive(Clone)]
pub(crate) struct Fingerprint(Sha256);

impl Fingerprint {
    /// A fingerprint without inputs. Different kinds ("base tree") never share a key.
    pub(crate) fn of(kind: &str) -> Self {
        Fingerprint(Sha256::new()).with("kind", kind)
    }

    /// Adds one input.
    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        for part in [name.as_bytes(), value.as_ref()] {
            self.0.update((part.len() as u64).to_le_bytes());
            self.0.update(part);
        }
        self
    }

    /// Adds path, type, executable bit, and content or link target of each file of `directory` whose relative path is
    /// `wanted`. Times, owners and the order in which the directory is read do not count.
    pub(crate) fn with_directory(
        mut self,
        name: &str,
        directory: &Path,
        wanted: &dyn Fn(&Path) -> bool,
    ) -> Result<Self> {
        for entry in entries(directory)? {
            if !wanted(&entry.relative) {
                continue;
            }
            let path = directory.join(&entry.relative);
            let content = match entry.kind {
                Kind::Directory => Vec::new(),
                Kind::Link => {
                    let target = fs::read_link(&path).map_err(|error| at_path("read the link", &path, &error))?;
                    target.as_os_str().as_bytes().to_vec()
                }
                Kind::File { .. } => fs::read(&path).map_err(|error| at_path("read", &path, &error))?,
            };
            let kind = match entry.kind {
                Kind::Directory => continue,
                Kind::Link => "link",
                Kind::File { executable: true } => "program",
                Kind::File { executable: false } => "file",
            };
            self = self.with(name, entry.relative.as_os_str().as_bytes()).with(kind, content);
        }
        Ok(self)
    }

    /// The key: 32 hexadecimal digits.
    pub(crate) fn key(&self) -> String {
        self.0.clone().finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn key_of(directory: &Path) -> String {
        Fingerprint::of("test")
            .with_directory("sources", directory, &|path| !path.starts_with("ignored"))
            .unwrap()
            .key()
    }

    #[test]
    fn every_input_counts_and_none_runs_into_the_next() {
        let keys = [
            Fingerprint::of("a"),
            Fingerprint::of("b"),
            Fingerprint::of("a").with("x", "yz"),
            Fingerprint::of("a").with("xy", "z"),
            Fingerprint::of("a").with("x", "y").with("z", ""),
            Fingerprint::of("a").with("z", "").with("x", "y"),
        ]
        .map(|fingerprint| fingerprint.key());
        let mut unique = keys.to_vec();
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), keys.len());
        assert_eq!(keys[0], Fingerprint::of("a").key());
        assert_eq!(keys[0].len(), 32);
    }

    #[test]
    fn a_directory_counts_by_names_contents_links_and_executable_bits_and_by_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::create_dir(path("sub")).unwrap();
        fs::write(path("sub/file"), "one").unwrap();
        std::os::unix::fs::symlink("file", path("link")).unwrap();
        let mut seen = vec![key_of(directory.path())];
        let mut changed = |what: &str| {
            let key = key_of(directory.path());
            assert!(!seen.contains(&key), "{what} did not change the key");
            seen.push(key);
        };
        fs::write(path("sub/file"), "two").unwrap();
        changed("content");
        fs::set_permissions(path("sub/file"), fs::Permissions::from_mode(0o755)).unwrap();
        changed("the executable bit");
        fs::rename(path("sub/file"), path("sub/other")).unwrap();
        changed("a name");
        fs::remove_file(path("link")).unwrap();
        std::os::unix::fs::symlink("other", path("link")).unwrap();
        changed("a link's target");

        let before = key_of(directory.path());
        fs::create_dir(path("ignored")).unwrap();
        fs::write(path("ignored/x"), "y").unwrap();
        fs::set_permissions(path("sub/other"), fs::Permissions::from_mode(0o775)).unwrap();
        let old = fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH);
        fs::File::options().write(true).open(path("sub/other")).unwrap().set_times(old).unwrap();
        assert_eq!(key_of(directory.path()), before);
    }
}
