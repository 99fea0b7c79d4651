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

use super::guest::sound;
use crate::project::repository;

/// The directory of an image of anybody's.
const DIRECTORY: &str = "K3S_VM_CONTRACT_IMAGE";
/// As the tool reads it.
const PROVIDER: &str = "K3S_VM_IMAGE_PROVIDER";
const BUILD_DEADLINE: Duration = Duration::from_secs(2 * 60 * 60);
/// As the tool has it by default, so that its image is the one in the cache.
const DISK: u64 = 20 << 30;

/// The image in the directory of the variable; without it that of the provider that the tool is told to use, Debian with
/// Kubernetes where it is told nothing. It is built if it is not in the cache.
///
/// # Panics
/// When it cannot be had.
pub fn chosen() -> GuestImage {
    match std::env::var_os(DIRECTORY) {
        Some(directory) => open(Path::new(&directory)),
        None => of_this_checkout(),
    }
}

/// The image in `directory`, whose files and description are those that the contract wants.
///
/// # Panics
/// When they are not.
pub fn open(directory: &Path) -> GuestImage {
    // Cargo runs tests in the directory of their package, where nobody means to be.
    sound(guest_image::open(&repository().join(directory), &cache()))
}

/// The cache that all projects of this user share.
pub(super) fn cache() -> CachePaths {
    let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or(home).expect("a place for the cache");
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
    // A project without a wish of its own.
    let project = tempfile::tempdir().expect("a temporary directory");
    std::fs::create_dir(project.path().join(".k3s-vm")).expect("a directory");
    let request = ImageRequest {
        config: &config,
        k3s: &K3sConfig::default(),
        project: project.path(),
        sources: &repository().join("guest"),
        cache: &cache(),
        deadline: BUILD_DEADLINE,
        consent: &OfTheCaller,
        events: &Talk,
    };
    let requirements = sound(guest_image::requirements(&request, false));
    sound(packages::ensure(&requirements, Duration::from_secs(45 * 60), &OfTheCaller, &Talk));
    sound(guest_image::ensure(&request))
}

/// Agreed to by the variable of the tool alone: nobody is asked here.
struct OfTheCaller;

impl Consent for OfTheCaller {
    fn ask(&self, _question: &str) -> Result<bool> {
        Ok(std::env::var("K3S_VM_YES").is_ok_and(|value| value == "1" || value == "true"))
    }
}

/// A build takes minutes; what it says is worth a line each.
struct Talk;

impl EventSink for Talk {
    fn emit(&self, event: Event) {
        use std::io::Write;
        if let Event::Note { text } | Event::Warning { text } = event {
            let _ = writeln!(std::io::stdout(), "{text}");
        }
    }
}
