//! The key of an image, and what is found without building.

use std::path::PathBuf;
use std::time::Duration;

use host::packages::Consent;
use model::config::{Distribution, ImageConfig};
use model::event::Silent;
use model::guest_image::file;
use model::paths::CachePaths;

use super::*;

struct No;
impl Consent for No {
    fn ask(&self, _question: &str) -> Result<bool> {
        Ok(false)
    }
}

/// A copy of the recipe that a test may change, and a cache.
struct Scratch {
    folder: tempfile::TempDir,
    cache: CachePaths,
    config: ImageConfig,
}

impl Scratch {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let guest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guest");
        for name in [
            "debian/packages",
            "debian/leave-out",
            "debian/customize.sh",
            "debian/initrd/modules",
            "debian/initrd/init",
            "debian/rootfs/etc/hostname",
            "kubernetes/contract.json",
            "kubernetes/go.mod",
        ] {
            let to = folder.path().join("guest").join(name);
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(guest.join(name), to).unwrap();
        }
        let cache = CachePaths::new(folder.path().join("cache"));
        let config = ImageConfig {
            provider: model::config::Provider::Debian,
            distribution: Distribution::Kubernetes,
            folder: None,
            disk: 20 << 30,
        };
        Scratch { folder, cache, config }
    }

    fn sources(&self) -> PathBuf {
        self.folder.path().join("guest")
    }

    fn with<T>(&self, act: impl FnOnce(&ImageRequest) -> T) -> T {
        act(&ImageRequest {
            config: &self.config,
            project: self.folder.path(),
            sources: &self.sources(),
            cache: &self.cache,
            deadline: Duration::from_secs(60),
            consent: &No,
            events: &Silent,
        })
    }

    fn key(&self) -> String {
        self.with(|request| Plan::read(request).unwrap().key)
    }
}

#[test]
fn the_key_changes_with_each_input_and_only_then() {
    let mut scratch = Scratch::new();
    let mut seen = vec![scratch.key()];
    let append = |path: PathBuf| {
        let mut text = std::fs::read_to_string(&path).unwrap();
        text.push('\n');
        std::fs::write(path, text).unwrap();
    };
    for name in [
        "debian/packages",
        "debian/leave-out",
        "debian/customize.sh",
        "debian/initrd/init",
        "debian/rootfs/etc/hostname",
        "kubernetes/contract.json",
        "kubernetes/go.mod",
    ] {
        append(scratch.sources().join(name));
        let key = scratch.key();
        assert!(!seen.contains(&key), "{name}");
        seen.push(key);
    }
    scratch.config.disk = 8 << 30;
    assert!(!seen.contains(&scratch.key()), "the size of the disk");

    let before = scratch.key();
    std::fs::write(scratch.sources().join("debian/README.md"), "words").unwrap();
    scratch.config.folder = Some("elsewhere".to_owned());
    assert_eq!(scratch.key(), before);
}

#[test]
fn an_image_in_the_cache_is_found_and_taken_without_running_anything() {
    let scratch = Scratch::new();
    assert_eq!(scratch.with(|request| Debian.locate(request)).unwrap(), None);
    let folder = scratch.cache.images().join(scratch.key());
    std::fs::create_dir_all(&folder).unwrap();
    for name in [file::KERNEL, file::INITRD, file::ROOT_DISK] {
        std::fs::write(folder.join(name), "").unwrap();
    }
    crate::manifest::write(&folder, &crate::manifest::example()).unwrap();
    let found = scratch.with(|request| Debian.locate(request)).unwrap().unwrap();
    assert_eq!(found.folder, folder);
    assert_eq!(found.fingerprint, scratch.key());
    assert_eq!(scratch.with(|request| Debian.ensure(request)).unwrap(), found);
    assert!(!scratch.cache.parts().exists(), "a part was built");
}

#[test]
fn the_manifest_says_what_the_contract_and_the_recipe_say() {
    let scratch = Scratch::new();
    let plan = scratch.with(|request| Plan::read(request).unwrap());
    let manifest = plan.manifest(scratch.config.disk);
    assert_eq!(manifest.kubernetes_version, plan.contract.kubernetes_version);
    assert_eq!(manifest.virtual_size, 20 << 30);
    assert!(manifest.kernel_command_line.contains("root=/dev/vda"));
}

#[test]
fn the_first_fault_of_two_parts_is_told_and_both_are_let_finish() {
    let finished = std::sync::atomic::AtomicBool::new(false);
    let result: Result<((), ())> = both(
        &Silent,
        || {
            finished.store(true, std::sync::atomic::Ordering::SeqCst);
            Ok(())
        },
        || Err(Fault::new(FaultClass::Failed, "no packages")),
    );
    assert_eq!(result.unwrap_err().what(), "no packages");
    assert!(finished.into_inner());
    assert_eq!(both(&Silent, || Ok(1), || Ok(2)).unwrap(), (1, 2));
}

#[test]
fn programs_are_required_only_while_the_image_is_missing() {
    let scratch = Scratch::new();
    let programs = |scratch: &Scratch| -> Vec<&str> {
        let required = scratch.with(|request| crate::requirements(request, false)).unwrap();
        required.iter().map(|requirement| requirement.program).collect()
    };
    let missing = programs(&scratch);
    for program in ["mmdebstrap", "mke2fs", "qemu-img", "gcc"] {
        assert!(missing.contains(&program), "{program}");
    }
    let folder = scratch.cache.images().join(scratch.key());
    std::fs::create_dir_all(&folder).unwrap();
    for name in [file::KERNEL, file::INITRD, file::ROOT_DISK] {
        std::fs::write(folder.join(name), "").unwrap();
    }
    crate::manifest::write(&folder, &crate::manifest::example()).unwrap();
    assert_eq!(programs(&scratch), [""; 0]);
}
