//! Tests of the provider with a fake Nix: how it is called, what results, and when it is not called at all.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use model::config::{Distribution, ImageConfig, K3sConfig, Nixpkgs, Provider as Configured};
use model::paths::CachePaths;
use model::requirement::Consent;
use testkit::RecordingSink;
use testkit::fake_nix::FakeNix;

use super::*;
use crate::auto::{Auto, Choice};

struct No;
impl Consent for No {
    fn ask(&self, _question: &str) -> Result<bool> {
        Ok(false)
    }
}

/// A project on a host with a fake Nix.
struct Setup {
    fake: FakeNix,
    scratch: tempfile::TempDir,
    cache: CachePaths,
    config: ImageConfig,
    k3s: K3sConfig,
    sink: RecordingSink,
}

impl Setup {
    fn new(version: &str) -> Self {
        let files = FakeNix::files().map(|(name, content)| {
            let sha256 = host::digest::Sha256::of(&content).to_string();
            (name.to_owned(), model::guest_image::FileDigest { size: content.len() as u64, sha256 })
        });
        let example = model::guest_image::GuestImageManifest { files: files.into(), ..crate::manifest::example() };
        let manifest = serde_json::to_string(&example).unwrap();
        let scratch = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = scratch.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("guest/nixos/default.nix", "{ }");
        write("guest/nixos/nixpkgs.json", "{}");
        write("guest/k3s/contract.json", "{}");
        write("guest/debian/rootfs/etc/hosts", "");
        write("my project/.k3s-vm/config.toml", "");
        let config = ImageConfig {
            provider: Configured::Nix,
            distribution: Distribution::Auto,
            directory: None,
            disk: 20 << 30,
            nixpkgs: None,
            offline: false,
        };
        Setup {
            fake: FakeNix::new(version, &manifest),
            cache: CachePaths::new(scratch.path().join("cache")),
            scratch,
            config,
            k3s: K3sConfig::default(),
            sink: RecordingSink::default(),
        }
    }

    fn project(&self) -> ProjectPaths {
        ProjectPaths::new(self.scratch.path().join("my project"))
    }

    fn places(&self) -> Places {
        // Its script calls programs of the host, which are in the PATH of the tests.
        Places { path: self.fake.directory().into(), profiles: Vec::new() }
    }

    fn with<T>(&self, act: impl FnOnce(&Nix, &ImageRequest) -> T) -> T {
        act(&Nix { places: self.places() }, &self.request())
    }

    fn auto<T>(&self, act: impl FnOnce(&Auto, &ImageRequest) -> T) -> T {
        act(&Auto { nix: Nix { places: self.places() } }, &self.request())
    }

    fn request(&self) -> ImageRequest<'_> {
        // Leaked for the life of a test: a request borrows them.
        let root: &'static Path = Box::leak(self.project().root().to_path_buf().into_boxed_path());
        let sources: &'static Path = Box::leak(self.scratch.path().join("guest").into_boxed_path());
        ImageRequest {
            config: &self.config,
            k3s: &self.k3s,
            project: root,
            sources,
            cache: &self.cache,
            deadline: Duration::from_secs(60),
            consent: &No,
            events: &self.sink,
        }
    }

    fn calls(&self) -> String {
        self.fake.calls().join("\n").replace(&self.scratch.path().display().to_string(), "SCRATCH")
    }

    fn images(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.cache.images()).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
    }
}

#[test]
fn nix_is_called_once_and_then_the_cache_has_a_copy() {
    let setup = Setup::new("2.26.3");
    assert_eq!(setup.with(|nix, request| nix.locate(request)).unwrap(), None);
    assert_eq!(setup.calls(), "", "a program ran to find the guest image");
    assert_eq!(setup.with(|nix, request| nix.requirements(request)).unwrap(), []);
    let image = setup.with(|nix, request| nix.ensure(request)).unwrap();
    insta::assert_snapshot!(setup.calls(), @r"
    --version
    SCRATCH/guest/nixos/default.nix -A image --argstr settings SCRATCH/my project/.k3s-vm/vm/settings.json --argstr configuration SCRATCH/my project/.k3s-vm/vm/configuration.nix --out-link SCRATCH/my project/.k3s-vm/vm/result
    ");
    insta::assert_snapshot!(setup.fake.given("settings.json"), @r#"
    {
      "schema": 1,
      "system": "x86_64-linux",
      "k3sMinor": null,
      "disable": [],
      "airgapImages": true,
      "diskMiB": 20480
    }
    "#);
    assert_eq!(setup.fake.given("configuration.nix"), CONFIGURATION);
    let before = setup.calls();
    // The cache has a copy of what is in the store.
    std::fs::remove_dir_all(setup.fake.directory().join("store")).unwrap();
    assert!(std::fs::read(image.root_disk()).unwrap().starts_with(b"QFI"));
    assert_eq!(setup.with(|nix, request| nix.locate(request)).unwrap(), Some(image.clone()));
    assert_eq!(setup.with(|nix, request| nix.ensure(request)).unwrap(), image);
    assert_eq!(setup.calls(), before);
}

#[test]
fn a_rebuild_runs_nix_again_and_leaves_the_former_image_in_place() {
    let setup = Setup::new("2.26.3");
    let first = setup.with(|nix, request| nix.ensure(request)).unwrap();
    let second = setup.with(|nix, request| nix.rebuild(request)).unwrap();
    assert_eq!(second.fingerprint, format!("{}.2", first.fingerprint));
    assert!(first.root_disk().is_file());
    assert!(setup.calls().ends_with("--option tarball-ttl 0"), "{}", setup.calls());
    assert_eq!(setup.with(|nix, request| nix.locate(request)).unwrap(), Some(second));
}

#[test]
fn the_users_configuration_is_created_once_and_counts() {
    let setup = Setup::new("2.26.3");
    let first = setup.with(|nix, request| nix.ensure(request)).unwrap();
    let path = setup.project().nix_configuration();
    assert_eq!(
        setup.sink.notes(),
        ["created .k3s-vm/vm/configuration.nix: what you add there becomes a part of the guest"]
    );
    let mut seen = vec![first.fingerprint];
    let mut changed = |setup: &Setup, what: &str| {
        assert_eq!(setup.with(|nix, request| nix.locate(request)).unwrap(), None, "{what}");
        let image = setup.with(|nix, request| nix.ensure(request)).unwrap();
        assert!(!seen.contains(&image.fingerprint), "{what}");
        seen.push(image.fingerprint);
    };
    std::fs::write(&path, "{ ... }: { imports = [ ./more.nix ]; }\n").unwrap();
    changed(&setup, "configuration.nix");
    assert_eq!(setup.fake.given("configuration.nix"), "{ ... }: { imports = [ ./more.nix ]; }\n", "it is the user's");
    std::fs::write(path.with_file_name("more.nix"), "{ }").unwrap();
    changed(&setup, "a file beside it");
    std::fs::write(setup.scratch.path().join("guest/nixos/default.nix"), "{ }: { }").unwrap();
    changed(&setup, "the guest");
    std::fs::write(setup.scratch.path().join("guest/nixos/nixpkgs.json"), "{ }").unwrap();
    changed(&setup, "the pin");
    let setup = Setup { config: ImageConfig { disk: 40 << 30, ..setup.config }, ..setup };
    changed(&setup, "the size of the disk");
    let nixpkgs = Some(Nixpkgs::Channel("nixos-unstable".to_owned()));
    let setup = Setup { config: ImageConfig { nixpkgs, ..setup.config }, ..setup };
    changed(&setup, "another nixpkgs");
    // Documents and other files of the directory do not count.
    std::fs::write(setup.scratch.path().join("guest/nixos/README.md"), "more").unwrap();
    std::fs::write(path.with_file_name("disk.qcow2"), "more").unwrap();
    assert!(setup.with(|nix, request| nix.locate(request)).unwrap().is_some());
}

#[test]
fn a_failure_leaves_no_image_and_is_told_in_our_words() {
    let setup = Setup::new("2.26.3");
    setup.fake.says(include_str!("recorded/builder-failed-2.26.log"), 100);
    let error = setup.with(|nix, request| nix.ensure(request)).unwrap_err();
    assert_eq!((error.what(), error.class()), ("the build of fail failed", ErrorClass::Failed));
    let log = setup.project().nix_build_log();
    let told = error.log().unwrap();
    assert_eq!((told.lines.len(), &told.source), (20, &log.display().to_string()));
    assert_eq!(std::fs::read_to_string(&log).unwrap(), include_str!("recorded/builder-failed-2.26.log"));
    assert_eq!(log.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(setup.images(), [""; 0]);
    assert!(!setup.project().nix_result().exists());
    setup.fake.says("", 0);
    setup.with(|nix, request| nix.ensure(request)).unwrap();
    assert_eq!(std::fs::read_to_string(&log).unwrap(), "", "the log is not that of the last build");
}

#[test]
fn every_recorded_failure_of_every_nix_becomes_an_error_with_a_next_step() {
    let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/nix/recorded");
    let mut count = 0;
    for entry in std::fs::read_dir(recorded).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        if ["built-", "substituted-", "cache-unreachable-"].iter().any(|works| name.starts_with(works)) {
            continue;
        }
        let setup = Setup::new("2.26.3");
        let project = format!("{}/", setup.project().root().display());
        setup.fake.says(&std::fs::read_to_string(entry.path()).unwrap().replace("/project/", &project), 1);
        let error = setup.with(|nix, request| nix.ensure(request)).unwrap_err();
        assert!(!error.what().contains("failed with exit code"), "{name}: {error}");
        assert!(!error.why().is_empty() || name.starts_with("no-such-k3s"), "{name}: {error}");
        assert!(
            error.next_steps().iter().any(|step| !step.starts_with("less ") && step != WITHOUT_NIX),
            "{name}: {error}"
        );
        count += 1;
    }
    assert!(count > 25, "{count}");
}

#[test]
fn the_world_is_not_compiled_when_no_cache_can_be_reached() {
    let setup = Setup::new("2.34.8");
    let recorded = include_str!("recorded/cache-unreachable-2.34.log");
    setup.fake.says(&recorded.replace("this derivation will be built:", "these 2113 derivations will be built:"), 0);
    setup.fake.hangs();
    let error = setup.with(|nix, request| nix.ensure(request)).unwrap_err();
    assert_eq!(error.what(), "2113 derivations would have to be compiled for the guest image");
    assert_eq!(error.class(), ErrorClass::Host);
    assert!(error.next_steps().iter().any(|step| step.contains("--provider debian")), "{error:?}");
    assert_eq!(setup.images(), [""; 0]);
}

#[test]
fn the_last_line_is_shown_as_progress_that_ends() {
    let setup = Setup::new("2.26.3");
    setup.fake.says(include_str!("recorded/built-2.26.log"), 0);
    setup.with(|nix, request| nix.ensure(request)).unwrap();
    let events = setup.sink.events();
    let told = |wanted: &str| {
        events.iter().any(|event| matches!(event, model::Event::Progress { message, .. } if message == wanted))
    };
    for message in ["evaluating the configuration", "line two", "made"] {
        assert!(told(message), "{message}: {events:?}");
    }
    let finished = events.iter().filter(|event| matches!(event, model::Event::TaskFinished { .. })).count();
    assert_eq!(finished, 1);
}

#[test]
fn no_nix_and_an_old_nix_are_told_to_whoever_ordered_one() {
    let setup = Setup::new("2.8.0");
    let old = setup.with(|nix, request| nix.requirements(request)).unwrap_err();
    assert_eq!((old.what(), old.class()), ("Nix 2.8.0 is too old: nixpkgs needs 2.18 or newer", ErrorClass::Host));
    let none = Nix { places: Places { path: "/nonexistent".into(), profiles: vec!["/nowhere/bin".into()] } };
    let none = none.requirements(&setup.request()).unwrap_err();
    insta::assert_snapshot!(format!("{none}\n{}", none.next_steps().join("\n")), @r"
    Nix is not installed: there is no `nix-build` in PATH, nor in /nowhere/bin
    sh <(curl -L https://nixos.org/nix/install) --daemon    # installs Nix, as nixos.org says
    k3s-vm start --provider debian    # a Debian guest, made without Nix
    ");
}

#[test]
fn what_a_nixos_guest_cannot_be_is_told_before_nix_is_asked() {
    let mut setup = Setup::new("2.26.3");
    setup.config.distribution = Distribution::Kubernetes;
    let error = setup.with(|nix, request| nix.locate(request)).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Config);
    insta::assert_snapshot!(format!("{error}\n{}", error.next_steps().join("\n")), @r#"
    the configuration asks for something that a NixOS guest cannot have: image.distribution = "kubernetes" runs in a Debian guest only
    k3s-vm start --provider debian    # a Debian guest, made without Nix
    "#);
    assert_eq!(setup.calls(), "");
}

#[test]
fn auto_takes_nix_where_it_is_new_enough() {
    let setup = Setup::new("2.18.0");
    assert_eq!(setup.auto(|auto, request| auto.locate(request)).unwrap(), None);
    assert_eq!(setup.calls(), "");
    assert_eq!(setup.auto(|auto, request| auto.requirements(request)).unwrap(), []);
    let image = setup.auto(|auto, request| auto.ensure(request)).unwrap();
    assert_eq!(setup.auto(|auto, request| auto.locate(request)).unwrap(), Some(image));
    assert_eq!(setup.sink.notes().len(), 1, "only configuration.nix is noted: {:?}", setup.sink.notes());
}

#[test]
fn auto_takes_debian_in_one_line_where_nix_is_too_old_or_cannot_make_it() {
    // A Debian guest needs the repository's sources.
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guest");
    let debian = |setup: &Setup| {
        setup.auto(|auto, request| {
            let request = ImageRequest { sources: &sources, ..*request };
            let programs: Vec<_> = auto.requirements(&request).unwrap().iter().map(|one| one.program).collect();
            assert!(programs.contains(&"mmdebstrap"), "{programs:?}");
            assert_eq!(auto.locate(&request).unwrap(), None);
        });
        setup.sink.notes()
    };
    let mut setup = Setup::new("2.8.0");
    setup.config.distribution = Distribution::Kubernetes;
    let told = "taking a Debian guest instead of a NixOS one";
    assert_eq!(debian(&setup), [format!("{told}: image.distribution = \"kubernetes\" runs in a Debian guest only")]);
    assert_eq!(setup.calls(), "");
    let setup = Setup::new("2.8.0");
    // `requirements` would also choose the distribution, which needs the network.
    let expected = Choice::Debian { reason: Some("Nix 2.8.0 is too old: nixpkgs needs 2.18 or newer".to_owned()) };
    assert_eq!(setup.auto(|auto, request| auto.decide(request)), expected);
    assert_eq!(setup.calls(), "--version");
    assert_eq!(setup.auto(|auto, request| auto.decide(request)), expected);
    assert_eq!(setup.calls(), "--version", "it was asked twice");
    let mut nowhere = Setup::new("2.26.3");
    nowhere.config.distribution = Distribution::Kubernetes;
    let auto = Auto { nix: Nix { places: Places { path: "/nonexistent".into(), profiles: Vec::new() } } };
    let request = ImageRequest { sources: &sources, ..nowhere.request() };
    assert!(!auto.requirements(&request).unwrap().is_empty());
    assert!(nowhere.sink.notes().is_empty(), "there was a note although Nix is not installed");
}
