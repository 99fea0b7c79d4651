//! The provider `prebuilt`: checks a directory of the user against the guest contract and never changes it.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use model::guest_image::{GuestImage, file};
use model::requirement::Requirement;
use model::{Error, ErrorClass, Result};

use crate::fingerprint::Fingerprint;
use crate::manifest::read_image;
use crate::provider::Provider;
use crate::request::ImageRequest;

/// Guest images that this tool did not build.
pub(crate) struct Prebuilt;

impl Provider for Prebuilt {
    fn locate(&self, request: &ImageRequest) -> Result<Option<GuestImage>> {
        let directory = request.config.directory.as_deref().ok_or_else(|| {
            Error::new(ErrorClass::Config, "image.provider = \"prebuilt\" needs image.directory")
                .next("set image.directory in .k3s-vm/config.toml")
        })?;
        let directory = request.project.join(directory);
        if !directory.is_dir() {
            return Err(Error::new(
                ErrorClass::Config,
                format!("the guest image {} does not exist", directory.display()),
            )
            .because("image.directory in .k3s-vm/config.toml names it")
            .next("set image.directory to a directory with kernel, initrd, root.qcow2 and manifest.json"));
        }
        let fingerprint = fingerprint(&directory)?;
        let image = read_image(&directory, fingerprint, ErrorClass::Config)?;
        crate::integrity::check(&image, request.cache).map_err(|why| damaged(&directory, &why))?;
        Ok(Some(image))
    }

    fn requirements(&self, _request: &ImageRequest) -> Result<Vec<Requirement>> {
        Ok(Vec::new())
    }

    fn ensure(&self, request: &ImageRequest) -> Result<GuestImage> {
        self.locate(request)?.ok_or_else(|| Error::new(ErrorClass::Config, "the guest image does not exist"))
    }

    fn rebuild(&self, request: &ImageRequest) -> Result<GuestImage> {
        let directory = request.config.directory.as_deref().unwrap_or_default();
        Err(Error::new(ErrorClass::Config, "a prebuilt guest image cannot be rebuilt")
            .because(format!("image.directory = \"{directory}\" in .k3s-vm/config.toml names your own files"))
            .next("k3s-vm reset    # with the guest image as it is"))
    }
}

fn damaged(directory: &Path, why: &str) -> Error {
    Error::new(ErrorClass::Config, format!("the guest image {} is damaged", directory.display()))
        .because(why)
        .because(format!("{} has the digests of the files as they were built", file::MANIFEST))
        .next("restore the files as they were built; disks that were made on them need exactly these bytes")
        .next("or set image.directory in .k3s-vm/config.toml to another guest image, then run `k3s-vm reset`")
}

/// Identifies a prebuilt guest image by its manifest and by the size and time of each file: to read a disk at every
/// command would take seconds.
pub(crate) fn fingerprint(directory: &Path) -> Result<String> {
    let manifest = host::files::read_optional(&GuestImage::manifest_path(directory))?.unwrap_or_default();
    let mut fingerprint = Fingerprint::of("prebuilt image").with(file::MANIFEST, manifest);
    for name in [file::KERNEL, file::INITRD, file::ROOT_DISK] {
        if let Ok(metadata) = std::fs::metadata(directory.join(name)) {
            let facts = [metadata.size().cast_signed(), metadata.mtime(), metadata.mtime_nsec()];
            fingerprint = fingerprint.with(name, facts.map(i64::to_le_bytes).concat());
        }
    }
    Ok(fingerprint.key())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_disk_is_another_image() {
        let directory = tempfile::tempdir().unwrap();
        for name in file::DESCRIBED {
            std::fs::write(directory.path().join(name), "").unwrap();
        }
        crate::manifest::write(directory.path(), crate::manifest::example()).unwrap();
        let before = fingerprint(directory.path()).unwrap();
        assert_eq!(fingerprint(directory.path()).unwrap(), before);
        std::fs::write(directory.path().join(file::ROOT_DISK), "more").unwrap();
        assert_ne!(fingerprint(directory.path()).unwrap(), before);
    }
}
