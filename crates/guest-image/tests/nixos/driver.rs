//! Tests of the provider with a real Nix that builds something small: arguments, output, link, copy, failures, Ctrl-C.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use guest_image::ImageRequest;
use model::config::{Distribution, ImageConfig, K3sConfig, Provider};
use model::guest_image::{GuestImage, file};
use model::paths::{CachePaths, ProjectPaths};
use model::requirement::Consent;
use model::{Event, Result};
use testkit::RecordingSink;

use crate::nix::program;

/// Names the directory for a second process of this test program, which calls the crate: a process has only one PATH
/// and one interrupt.
const ROLE: &str = "K3S_VM_NIX_TEST_DIRECTORY";

struct No;
impl Consent for No {
    fn ask(&self, _question: &str) -> Result<bool> {
        Ok(false)
    }
}

/// Not a test: the second process, which builds the guest image and writes the result to a file.
#[test]
#[ignore = "needs Nix (cargo xtask nix)"]
fn role() {
    let Some(directory) = std::env::var_os(ROLE).map(PathBuf::from) else { return };
    host::interrupt::install().expect("handlers");
    let (sink, cache) = (RecordingSink::default(), CachePaths::new(directory.join("cache")));
    let config = ImageConfig {
        provider: Provider::Nix,
        distribution: Distribution::Auto,
        directory: None,
        disk: 8 << 30,
        nixpkgs: None,
        offline: true,
    };
    let request = ImageRequest {
        config: &config,
        k3s: &K3sConfig::default(),
        project: &directory.join("my project"),
        sources: &directory.join("guest"),
        cache: &cache,
        deadline: Duration::from_secs(600),
        consent: &No,
        events: &sink,
    };
    assert_eq!(guest_image::locate(&request).expect("sources"), None);
    let made = guest_image::requirements(&request, false).and_then(|_| guest_image::ensure(&request));
    let messages: Vec<String> = sink.events().into_iter().filter_map(progress).collect();
    let told = match made {
        Ok(image) => format!("made {}\n{}", image.directory.display(), messages.join("\n")),
        Err(error) => {
            let log = error.log().map(|log| log.lines.join("\n")).unwrap_or_default();
            format!("{} {error}\n{log}", error.class().name())
        }
    };
    std::fs::write(directory.join("told"), told).expect("a file");
}

fn progress(event: Event) -> Option<String> {
    match event {
        Event::Progress { message, .. } => Some(message),
        _ => None,
    }
}

/// A project, a store of Nix and an empty cache.
struct Setup(tempfile::TempDir);

impl Setup {
    /// With this `configuration.nix`.
    fn new(configuration: &str) -> Self {
        let setup = Setup(tempfile::Builder::new().prefix("k3s-vm-nix-").tempdir().expect("a directory"));
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        for directory in ["guest/nixos", "guest/k3s", "guest/debian/rootfs"] {
            std::fs::create_dir_all(setup.path(directory)).expect("a directory");
        }
        std::fs::copy(here.join("tests/nixos/driver/default.nix"), setup.path("guest/nixos/default.nix"))
            .expect("the guest");
        let path = setup.project().nix_configuration();
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        std::fs::write(path, configuration).expect("a file");
        setup
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn project(&self) -> ProjectPaths {
        ProjectPaths::new(self.path("my project"))
    }

    fn start(&self) -> Child {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        for (variable, place) in [("STORE", "store"), ("STATE", "state"), ("LOG", "log"), ("CONF", "conf")] {
            command.env(format!("NIX_{variable}_DIR"), self.path(place));
        }
        let mut path =
            PathBuf::from(program("nix-build")).parent().map(Path::to_path_buf).unwrap_or_default().into_os_string();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let config = "build-users-group =\nsandbox = false\nsubstituters =\nbuild-hook =\n";
        command
            .args(["driver::role", "--exact", "--ignored"])
            .env("PATH", path)
            .env("NIX_CONFIG", config)
            .env_remove("NIX_REMOTE")
            .env(ROLE, self.0.path())
            .stdout(Stdio::null());
        command.spawn().expect("this program")
    }

    /// Waits for the second process and returns its result, with placeholders for what differs between runs.
    fn finish(&self, mut child: Child) -> String {
        assert!(child.wait().expect("an end").success());
        self.told()
    }

    fn told(&self) -> String {
        let told = std::fs::read_to_string(self.path("told")).unwrap_or_else(|_| "there is no result".to_owned());
        told.replace(&self.0.path().display().to_string(), "DIRECTORY")
    }

    fn images(&self) -> usize {
        std::fs::read_dir(self.path("cache/images")).map_or(0, |entries| entries.count())
    }
}

impl Drop for Setup {
    /// Nix makes its store read-only.
    fn drop(&mut self) {
        let _ = Command::new("chmod").args(["-R", "u+w"]).arg(self.0.path()).status();
    }
}

#[test]
#[ignore = "needs Nix (cargo xtask nix)"]
fn nix_builds_and_the_cache_gets_a_copy() {
    let setup = Setup::new("{ ... }: { script = \"echo making the disk\"; }\n");
    let told = setup.finish(setup.start());
    let mut lines = told.lines();
    let directory = lines.next().and_then(|line| line.strip_prefix("made DIRECTORY/")).expect(&told).to_owned();
    for line in ["evaluating the configuration", "LD vmlinux", "making the disk"] {
        assert!(told.lines().any(|told| told == line), "{line} is not among\n{told}");
    }
    let link = std::fs::canonicalize(setup.project().nix_result()).expect("a link");
    assert!(link.starts_with(setup.path("store")), "{}", link.display());
    let image = guest_image::open(&setup.path(&directory), &CachePaths::new(setup.path("cache"))).expect("an image");
    assert_eq!(image.manifest.virtual_size, 8 << 30);
    let GuestImage { directory, .. } = image;
    for name in [file::KERNEL, file::INITRD, file::ROOT_DISK, file::MANIFEST] {
        let same = std::fs::read(directory.join(name)).expect(name) == std::fs::read(link.join(name)).expect(name);
        assert!(same && !directory.join(name).is_symlink(), "{name}");
    }
}

#[test]
#[ignore = "needs Nix (cargo xtask nix)"]
fn a_builder_that_fails_is_told_with_the_end_of_its_log() {
    let setup = Setup::new("{ ... }: { script = \"for i in $(seq 30); do echo line $i; done; exit 7\"; }\n");
    let told = setup.finish(setup.start());
    assert!(told.starts_with("failed the build of guest-image failed: its builder ended with exit code 7\n"), "{told}");
    assert!(told.lines().any(|line| line == "line 30"), "{told}");
    let log = std::fs::read_to_string(setup.project().nix_build_log()).expect("the log");
    assert!((1..=30).all(|number| log.lines().any(|line| line == format!("line {number}"))), "{log}");
    assert_eq!(setup.images(), 0);
    assert!(!setup.project().nix_result().exists());
}

#[test]
#[ignore = "needs Nix (cargo xtask nix)"]
fn a_mistake_in_the_configuration_is_an_error_with_its_place() {
    let setup = Setup::new("{ ... }: {\n  script = nothing;\n}\n");
    let told = setup.finish(setup.start());
    let file = "DIRECTORY/my project/.k3s-vm/vm/configuration.nix";
    let expected = format!("config {file} has a mistake: undefined variable 'nothing'\nat {file}:2:12:\n");
    assert!(told.starts_with(&expected), "{told}");
}

#[test]
#[ignore = "needs Nix (cargo xtask nix)"]
fn an_interrupt_ends_nix_with_its_builders_and_leaves_nothing() {
    let setup = Setup::new("");
    let begun = setup.path("begun");
    let text = format!("{{ ... }}: {{ script = \"echo $$ >{}; mkfifo never; cat never\"; }}\n", begun.display());
    std::fs::write(setup.project().nix_configuration(), text).expect("a file");
    let mut child = setup.start();
    let builder = testkit::wait::value(|| {
        assert_eq!(child.try_wait().expect("a child"), None, "it ended before the builder ran: {}", setup.told());
        std::fs::read_to_string(&begun).ok().filter(|pid| pid.ends_with('\n')).map(|pid| pid.trim().to_owned())
    });
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().expect("kill").success());
    assert_eq!(setup.finish(child).trim_end(), "interrupted interrupted while `nix-build` ran");
    assert!(!Path::new("/proc").join(builder).exists(), "the builder still runs");
    assert_eq!(setup.images(), 0);
    assert!(!setup.project().nix_result().exists());
}
