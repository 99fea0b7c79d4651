//! The provider `prebuilt`: a folder that the user names, checked against the guest contract, never changed.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use model::guest_image::{GuestImage, file};
use model::requirement::Requirement;
use model::{Fault, FaultClass, Result};

use crate::ImageRequest;
use crate::fingerprint::Fingerprint;
use crate::manifest::read_image;
use crate::provider::Provider;

/// Images that somebody else has built.
pub(crate) struct Prebuilt;

impl Provider for Prebuilt {
    fn locate(&self, request: &ImageRequest) -> Result<Option<GuestImage>> {
        let folder = request.config.folder.as_deref().ok_or_else(|| {
            Fault::new(FaultClass::Config, "image.provider = \"prebuilt\" needs image.folder")
                .next("set image.folder in .k3s-vm/config.toml")
        })?;
        let folder = request.project.join(folder);
        if !folder.is_dir() {
            return Err(Fault::new(FaultClass::Config, format!("the guest image {} is not there", folder.display()))
                .because("image.folder in .k3s-vm/config.toml names it")
                .next("set image.folder to a folder with kernel, initrd, root.qcow2 and manifest.json"));
        }
        let fingerprint = fingerprint(&folder)?;
        let image = read_image(&folder, fingerprint, FaultClass::Config)?;
        crate::soundness::check(&image, request.cache).map_err(|why| damaged(&folder, &why))?;
        Ok(Some(image))
    }

    fn requirements(&self, _request: &ImageRequest) -> Result<Vec<Requirement>> {
        Ok(Vec::new())
    }

    fn ensure(&self, request: &ImageRequest) -> Result<GuestImage> {
        self.locate(request)?.ok_or_else(|| Fault::new(FaultClass::Config, "the guest image is not there"))
    }

    fn rebuild(&self, request: &ImageRequest) -> Result<GuestImage> {
        let folder = request.config.folder.as_deref().unwrap_or_default();
        Err(Fault::new(FaultClass::Config, "a prebuilt guest image cannot be rebuilt")
            .because(format!("image.folder = \"{folder}\" in .k3s-vm/config.toml names files of yours"))
            .next("k3s-vm reset    # with the image as it is"))
    }
}

fn damaged(folder: &Path, why: &str) -> Fault {
    Fault::new(FaultClass::Config, format!("the guest image {} is damaged", folder.display()))
        .because(why)
        .because(format!("{} says what was built", file::MANIFEST))
        .next("put the files there again as they were built; disks that were made on them need those very bytes")
        .next("image.folder in .k3s-vm/config.toml names another image, for `k3s-vm reset`")
}

/// The manifest's bytes, and size, inode and time of each file: reading a disk at every command would take seconds.
pub(crate) fn fingerprint(folder: &Path) -> Result<String> {
    let manifest = host::files::read_optional(&GuestImage::manifest_path(folder))?.unwrap_or_default();
    let mut print = Fingerprint::of("prebuilt image").with(file::MANIFEST, manifest);
    for name in [file::KERNEL, file::INITRD, file::ROOT_DISK] {
        if let Ok(metadata) = std::fs::metadata(folder.join(name)) {
            let facts = [metadata.size().cast_signed(), metadata.mtime(), metadata.mtime_nsec()];
            print = print.with(name, facts.map(i64::to_le_bytes).concat());
        }
    }
    Ok(print.key())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_disk_is_another_image() {
        let folder = tempfile::tempdir().unwrap();
        for name in file::DESCRIBED {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        crate::manifest::write(folder.path(), crate::manifest::example()).unwrap();
        let before = fingerprint(folder.path()).unwrap();
        assert_eq!(fingerprint(folder.path()).unwrap(), before);
        std::fs::write(folder.path().join(file::ROOT_DISK), "more").unwrap();
        assert_ne!(fingerprint(folder.path()).unwrap(), before);
    }
}
