//! Verifies that the files of a guest image are those that were built: their sizes at every use, their digests at the
//! first use after a boot of the host. The result is noted in the cache, with inode and times of each file.
//!
//! It finds damage and repairs nothing: the files are backing files of instances' disks.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use host::digest::Sha256;
use host::files::{self, Mode};
use host::identity::boot_id;
use host::io_error::{at_path, text};
use model::Result;
use model::guest_image::{FileDigest, GuestImage, file};
use model::paths::CachePaths;
use serde::{Deserialize, Serialize};

/// The files that were found undamaged.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    /// The boot id of the host. After the next boot all files are read again.
    boot: String,
    /// The directory of the guest image.
    directory: PathBuf,
    files: BTreeMap<String, Stamp>,
}

/// What changes whenever a file is written or restored from a backup, and the digest that it must have.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    sha256: String,
}

/// Size and digest of each file of the guest image in `directory`.
///
/// # Errors
/// An error that names the path.
pub(crate) fn digests(directory: &Path) -> Result<BTreeMap<String, FileDigest>> {
    let digest = |name: &str| {
        let path = directory.join(name);
        let size = path.metadata().map_err(|error| at_path("look at", &path, &error))?.len();
        Ok((name.to_owned(), FileDigest { size, sha256: Sha256::of_file(&path)?.to_string() }))
    };
    file::DESCRIBED.into_iter().map(digest).collect()
}

/// Compares the files with the manifest. A manifest of schema 1 has no digests, so nothing is compared.
///
/// # Errors
/// The damage, as a clause: "root.qcow2 has 3 bytes instead of 5".
pub(crate) fn check(image: &GuestImage, cache: &CachePaths) -> Result<(), String> {
    let expected = &image.manifest.files;
    if expected.is_empty() {
        return Ok(());
    }
    let stamps = stamps(image)?;
    // Without a boot id nothing is noted.
    let boot = boot_id().ok();
    let note = boot.map(|boot| Note { boot, directory: image.directory.clone(), files: stamps });
    let place = place(image, cache);
    if let Some(note) = &note
        && let Ok(Some(bytes)) = files::read_optional(&place)
        && serde_json::from_slice::<Note>(&bytes).is_ok_and(|known| known == *note)
    {
        return Ok(());
    }
    compare(image)?;
    if let Some(note) = note {
        // If the cache cannot be written, the next call reads the files again.
        let _ = files::create_dir(&cache.verified()).and_then(|()| {
            files::write_atomic(&place, &serde_json::to_vec(&note).unwrap_or_default(), Mode::Exactly(0o600))
        });
    }
    Ok(())
}

/// Reads all files and compares their digests.
///
/// # Errors
/// As [`check`].
pub(crate) fn compare(image: &GuestImage) -> Result<(), String> {
    for (name, expected) in &image.manifest.files {
        let found = Sha256::of_file(&image.directory.join(name)).map_err(|error| error.to_string())?;
        if Sha256::parse(&expected.sha256) != Some(found) {
            return Err(format!("{name} has the SHA-256 {found} instead of {}", expected.sha256));
        }
    }
    Ok(())
}

fn stamps(image: &GuestImage) -> Result<BTreeMap<String, Stamp>, String> {
    let stamp = |(name, expected): (&String, &FileDigest)| {
        let path = image.directory.join(name);
        let metadata = path.metadata().map_err(|error| format!("{name}: {}", text(&error)))?;
        if metadata.size() != expected.size {
            return Err(format!("{name} has {} bytes instead of {}", metadata.size(), expected.size));
        }
        let stamp = Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            sha256: expected.sha256.clone(),
        };
        Ok((name.clone(), stamp))
    };
    image.manifest.files.iter().map(stamp).collect()
}

/// The file of the note: one for each guest image directory.
fn place(image: &GuestImage, cache: &CachePaths) -> PathBuf {
    let digest = Sha256::of(image.directory.as_os_str().as_encoded_bytes()).to_string();
    cache.verified().join(format!("{digest:.32}.json"))
}

#[cfg(test)]
mod tests {
    use model::ErrorClass;

    use super::*;
    use crate::manifest;

    struct Scratch(tempfile::TempDir);

    impl Scratch {
        fn new() -> Self {
            let scratch = Scratch(tempfile::tempdir().unwrap());
            for name in file::DESCRIBED {
                std::fs::write(scratch.0.path().join(name), format!("the {name}")).unwrap();
            }
            manifest::write(scratch.0.path(), manifest::example()).unwrap();
            scratch
        }
        fn cache(&self) -> CachePaths {
            CachePaths::new(self.0.path().join("cache"))
        }
        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }
        fn check(&self) -> Result<(), String> {
            let image = manifest::read_image(self.0.path(), "f".to_owned(), ErrorClass::Config).unwrap();
            check(&image, &self.cache())
        }
        fn note(&self) -> PathBuf {
            let image = manifest::read_image(self.0.path(), "f".to_owned(), ErrorClass::Config).unwrap();
            place(&image, &self.cache())
        }
        /// Writes other bytes, with the same size and modification time.
        fn damage(&self, name: &str) {
            let path = self.path(name);
            let modified = path.metadata().unwrap().modified().unwrap();
            std::fs::write(&path, format!("THE {name}")).unwrap();
            std::fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
        }
    }

    #[test]
    fn an_image_that_a_power_cut_had_damaged_was_used_by_all_projects() {
        for name in file::DESCRIBED {
            let scratch = Scratch::new();
            scratch.damage(name);
            let why = scratch.check().unwrap_err();
            assert!(why.starts_with(&format!("{name} has the SHA-256 ")), "{why}");
            assert!(!scratch.note().exists(), "a damaged guest image was noted as undamaged");
        }
        let scratch = Scratch::new();
        std::fs::write(scratch.path(file::ROOT_DISK), "").unwrap();
        assert_eq!(scratch.check().unwrap_err(), "root.qcow2 has 0 bytes instead of 14");
    }

    #[test]
    fn files_are_read_once_after_a_boot_of_the_host_and_when_they_have_changed() {
        let scratch = Scratch::new();
        scratch.check().unwrap();
        let noted = std::fs::read_to_string(scratch.note()).unwrap();
        assert!(noted.contains(&boot_id().unwrap()));
        // A note of another boot does not count.
        let believed = noted.replace(&boot_id().unwrap(), "another boot");
        std::fs::write(scratch.note(), &believed).unwrap();
        scratch.check().unwrap();
        assert_eq!(std::fs::read_to_string(scratch.note()).unwrap(), noted, "it was not read again after a boot");
        scratch.damage(file::KERNEL);
        assert!(scratch.check().is_err(), "a changed file of the same size and time was not read");
    }

    #[test]
    fn an_image_whose_manifest_has_no_digests_is_used_as_it_is() {
        let scratch = Scratch::new();
        let old = model::guest_image::GuestImageManifest { schema: 1, files: BTreeMap::new(), ..manifest::example() };
        std::fs::write(scratch.path(file::MANIFEST), serde_json::to_vec(&old).unwrap()).unwrap();
        scratch.damage(file::KERNEL);
        assert_eq!(scratch.check(), Ok(()));
    }
}
