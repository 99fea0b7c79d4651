//! The image under test: a directory that the caller names, or the one that this checkout makes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use guest_image::ImageRequest;
use lifecycle::packages;
use model::config::{Distribution, ImageConfig, K3sConfig, Provider};
use model::guest_image::GuestImage;
use model::paths::CachePaths;
use model::requirement::Consent;
use model::{Event, EventSink, Result};

use crate::expect::expect_ok;
use crate::project::repository;

/// The variable that names the directory of an image.
const DIRECTORY: &str = "K3S_VM_CONTRACT_IMAGE";
/// The tool's variable for the image provider.
const PROVIDER: &str = "K3S_VM_IMAGE_PROVIDER";
const BUILD_DEADLINE: Duration = Duration::from_secs(2 * 60 * 60);
/// k3s-vm's default, so that the cached image is the same.
const DISK: u64 = 20 << 30;

/// The image in the directory that `K3S_VM_CONTRACT_IMAGE` names; without that, the image of the provider in
/// `K3S_VM_IMAGE_PROVIDER`, by default Debian with Kubernetes. It is built if it is not in the cache.
///
/// # Panics
/// When there is no such image, or the build fails.
pub fn chosen() -> GuestImage {
    match std::env::var_os(DIRECTORY) {
        Some(directory) => open(Path::new(&directory)),
        None => of_this_checkout(),
    }
}

/// Opens the image in `directory`, and checks its files and manifest.
///
/// # Panics
/// When they are not as the contract demands.
pub fn open(directory: &Path) -> GuestImage {
    // Relative to the repository: Cargo runs tests in the directory of their package.
    expect_ok(guest_image::open(&repository().join(directory), &cache()))
}

/// The cache that all projects of this user share.
pub(super) fn cache() -> CachePaths {
    let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or(home).expect("HOME or XDG_CACHE_HOME");
    CachePaths::new(cache.join("k3s-vm"))
}

fn of_this_checkout() -> GuestImage {
    let nix = std::env::var(PROVIDER).is_ok_and(|provider| provider == "nix");
    let config = ImageConfig {
        provider: if nix { Provider::Nix } else { Provider::Debian },
        distribution: if nix { Distribution::Auto } else { Distribution::Kubernetes },
        directory: None,
        disk: DISK,
        nixpkgs: None,
        offline: false,
    };
    // A project without a configuration.
    let project = tempfile::tempdir().expect("a temporary directory");
    std::fs::create_dir(project.path().join(".k3s-vm")).expect("a directory");
    let request = ImageRequest {
        config: &config,
        k3s: &K3sConfig::default(),
        project: project.path(),
        sources: &repository().join("guest"),
        cache: &cache(),
        deadline: BUILD_DEADLINE,
        consent: &ConsentFromEnvironment,
        events: &PrintNotes,
    };
    let requirements = expect_ok(guest_image::requirements(&request, false));
    expect_ok(packages::ensure(&requirements, Duration::from_secs(45 * 60), &ConsentFromEnvironment, &PrintNotes));
    expect_ok(guest_image::ensure(&request))
}

/// Consents if `K3S_VM_YES` is set; nobody is asked.
struct ConsentFromEnvironment;

impl Consent for ConsentFromEnvironment {
    fn ask(&self, _question: &str) -> Result<bool> {
        Ok(std::env::var("K3S_VM_YES").is_ok_and(|value| value == "1" || value == "true"))
    }
}

/// Prints notes and warnings: a build takes minutes.
struct PrintNotes;

impl EventSink for PrintNotes {
    fn emit(&self, event: Event) {
        use std::io::Write;
        if let Event::Note { text } | Event::Warning { text } = event {
            let _ = writeln!(std::io::stdout(), "{text}");
        }
    }
}
