//! Tests of the key of a guest image, and of what is found without building.

use std::path::PathBuf;
use std::time::Duration;

use model::config::{Distribution, ImageConfig, K3sConfig};
use model::event::Silent;
use model::guest_image::file;
use model::paths::CachePaths;
use model::requirement::Consent;

use super::*;

struct No;
impl Consent for No {
    fn ask(&self, _question: &str) -> Result<bool> {
        Ok(false)
    }
}

/// A cache, and a copy of the recipe that a test may change.
struct Scratch {
    directory: tempfile::TempDir,
    cache: CachePaths,
    config: ImageConfig,
    k3s: K3sConfig,
}

impl Scratch {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
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
            "k3s/contract.json",
            "k3s/rootfs/etc/rancher/k3s/config.yaml",
        ] {
            let to = directory.path().join("guest").join(name);
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(guest.join(name), to).unwrap();
        }
        let cache = CachePaths::new(directory.path().join("cache"));
        let config = ImageConfig {
            nixpkgs: None,
            offline: false,
            provider: model::config::Provider::Debian,
            distribution: Distribution::Kubernetes,
            directory: None,
            disk: 20 << 30,
        };
        Scratch { directory, cache, config, k3s: K3sConfig::default() }
    }

    fn sources(&self) -> PathBuf {
        self.directory.path().join("guest")
    }

    fn with<T>(&self, act: impl FnOnce(&ImageRequest) -> T) -> T {
        act(&ImageRequest {
            config: &self.config,
            k3s: &self.k3s,
            project: self.directory.path(),
            sources: &self.sources(),
            cache: &self.cache,
            deadline: Duration::from_secs(60),
            consent: &No,
            events: &Silent,
        })
    }

    fn plan(&self) -> Plan {
        self.with(|request| Plan::read(request, choice::decide(request).unwrap()).unwrap())
    }

    fn key(&self) -> String {
        self.plan().key
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
    scratch.config.directory = Some("elsewhere".to_owned());
    std::fs::write(scratch.sources().join("k3s/contract.json"), "").unwrap();
    assert_eq!(scratch.key(), before);
}

#[test]
fn the_key_of_k3s_depends_on_its_files_and_on_what_is_disabled() {
    let mut scratch = Scratch::new();
    let program = std::env::current_exe().unwrap();
    scratch.config.distribution = Distribution::K3s;
    scratch.k3s.binary = Some("k3s".to_owned());
    let place = |bytes: &[u8]| std::fs::write(scratch.directory.path().join("k3s"), bytes).unwrap();
    let elf = std::fs::read(program).unwrap()[..4096].to_vec();
    place(&elf);
    let mut seen = vec![scratch.key()];
    place(&[&elf[..], b"more"].concat());
    let mut new = |scratch: &Scratch, what: &str| {
        let key = scratch.key();
        assert!(!seen.contains(&key), "{what}");
        seen.push(key);
    };
    new(&scratch, "the program");
    scratch.k3s.disable = vec!["traefik".to_owned()];
    new(&scratch, "what is disabled");
    std::fs::write(scratch.directory.path().join("images.tar.gz"), [0x1f, 0x8b]).unwrap();
    scratch.k3s.images = Some("images.tar.gz".to_owned());
    new(&scratch, "the container images");
    std::fs::write(scratch.sources().join("k3s/rootfs/etc/rancher/k3s/config.yaml"), "").unwrap();
    new(&scratch, "the overlay");
    let before = scratch.key();
    std::fs::write(scratch.sources().join("kubernetes/go.mod"), "").unwrap();
    assert_eq!(scratch.key(), before);
    assert_eq!(scratch.plan().manifest(1 << 30).distribution, "k3s");
}

#[test]
fn an_image_in_the_cache_is_found_and_taken_without_running_anything() {
    let scratch = Scratch::new();
    assert_eq!(scratch.with(|request| Debian.locate(request)).unwrap(), None);
    let directory = scratch.cache.images().join(scratch.key());
    std::fs::create_dir_all(&directory).unwrap();
    for name in [file::KERNEL, file::INITRD, file::ROOT_DISK] {
        std::fs::write(directory.join(name), "").unwrap();
    }
    crate::manifest::write(&directory, crate::manifest::example()).unwrap();
    let found = scratch.with(|request| Debian.locate(request)).unwrap().unwrap();
    assert_eq!(found.directory, directory);
    assert_eq!(found.fingerprint, scratch.key());
    assert_eq!(scratch.with(|request| Debian.ensure(request)).unwrap(), found);
    assert!(!scratch.cache.parts().exists(), "a part was built");
}

#[test]
fn the_manifest_has_the_values_of_contract_and_recipe() {
    let scratch = Scratch::new();
    let manifest = scratch.plan().manifest(scratch.config.disk);
    assert_eq!(manifest.distribution, "kubernetes");
    assert!(manifest.kubernetes_version.starts_with("v1."));
    assert_eq!(manifest.virtual_size, 20 << 30);
    assert!(manifest.kernel_command_line.contains("root=/dev/vda"));
}

#[test]
fn the_first_error_of_two_parts_is_returned_after_both_have_finished() {
    let finished = std::sync::atomic::AtomicBool::new(false);
    let result: Result<((), ())> = both(
        &Silent,
        || {
            finished.store(true, std::sync::atomic::Ordering::SeqCst);
            Ok(())
        },
        || Err(Error::new(ErrorClass::Failed, "no packages")),
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
    let directory = scratch.cache.images().join(scratch.key());
    std::fs::create_dir_all(&directory).unwrap();
    for name in [file::KERNEL, file::INITRD, file::ROOT_DISK] {
        std::fs::write(directory.join(name), "").unwrap();
    }
    crate::manifest::write(&directory, crate::manifest::example()).unwrap();
    assert_eq!(programs(&scratch), [""; 0]);
}
