//! Guest images: who makes them (providers), what runs in them (distributions), and the cache that projects share.
//!
//! It builds files and never starts a VM. Entry points: [`locate`], [`requirements`], [`ensure`].

mod auto;
mod boot_files;
mod choice;
mod contract;
mod debian;
mod distribution;
mod fingerprint;
mod generations;
mod k3s;
mod kernel_image;
mod kernel_modules;
mod kubernetes;
mod manifest;
mod nix;
mod overlay;
mod prebuilt;
mod provider;
mod soundness;
mod store;
mod tree_archive;

use std::path::Path;
use std::time::Duration;

use model::config::{ImageConfig, K3sConfig};
use model::guest_image::GuestImage;
use model::paths::CachePaths;
use model::requirement::{Consent, Requirement};
use model::{ErrorClass, EventSink, Result};

/// What is needed to find or build a guest image.
#[derive(Clone, Copy)]
pub struct ImageRequest<'a> {
    /// What the user configured.
    pub config: &'a ImageConfig,
    /// The release of K3s, for images with that distribution.
    pub k3s: &'a K3sConfig,
    /// The project's directory, to which the directory of a prebuilt image is relative.
    pub project: &'a Path,
    /// The repository's `guest/` directory, an absolute path: the sources of what goes into the VM.
    pub sources: &'a Path,
    /// The cache that projects share.
    pub cache: &'a CachePaths,
    /// How long a build may take, the wait for another builder included (`timeouts.build`).
    pub deadline: Duration,
    /// How the user agrees to the installation of a toolchain.
    pub consent: &'a dyn Consent,
    /// Who is told.
    pub events: &'a dyn EventSink,
}

/// The image for this request if it is there already, whole. Runs no program, asks no network and builds nothing; at the
/// first use after a boot of the host it reads all of the image. One of the cache that is damaged is not there.
///
/// # Errors
/// Unreadable sources or a K3s of the user's that cannot be used, or a prebuilt directory that breaks the contract or is
/// damaged.
pub fn locate(request: &ImageRequest) -> Result<Option<GuestImage>> {
    provider::of(request.config.provider).locate(request)
}

/// The host programs that [`ensure`] will need, none when the image is there already; those that [`rebuild`] needs.
/// Which distribution a new image will have is decided here at the latest, for which the release host may be asked; it
/// is asked again for a rebuild.
///
/// # Errors
/// As [`locate`]; where a release of K3s is needed, that it cannot be had.
pub fn requirements(request: &ImageRequest, rebuild: bool) -> Result<Vec<Requirement>> {
    if rebuild {
        choice::forget(request)?;
    }
    let provider = provider::of(request.config.provider);
    match provider.locate(request)? {
        Some(_) if !rebuild => Ok(Vec::new()),
        _ => provider.requirements(request),
    }
}

/// Finds the image or builds it: under a lock, into a temporary directory of the cache that gets its name when it is
/// complete. Emits the tasks `packages`, `kubernetes` or `k3s`, and `image`.
///
/// # Errors
/// What a tool of the build said, with the command that can be repeated; a Timeout error after `deadline`.
pub fn ensure(request: &ImageRequest) -> Result<GuestImage> {
    provider::of(request.config.provider).ensure(request)
}

/// Builds the image although it is there, from the parts of the cache. It gets a directory of its own and is the one that
/// [`locate`] finds from then on; the former stays, since disks of other instances lie on it.
///
/// # Errors
/// As [`ensure`]; a Config error where this tool does not build the image.
pub fn rebuild(request: &ImageRequest) -> Result<GuestImage> {
    provider::of(request.config.provider).rebuild(request)
}

pub use nix::pin::{PinReport, PinUpdate};

/// The image in `directory`, of whatever provider: what an instance's disk was made on. An image of the cache has its
/// fingerprint as its name.
///
/// # Errors
/// A State error where it is not there or breaks the contract.
pub fn open(directory: &Path, cache: &CachePaths) -> Result<GuestImage> {
    let fingerprint = match directory.file_name() {
        Some(name) if directory.parent() == Some(&cache.images()) => name.to_string_lossy().into_owned(),
        _ => prebuilt::fingerprint(directory)?,
    };
    manifest::read_image(directory, fingerprint, ErrorClass::State)
}

/// Whether the files of an image are those that were built; at the first use after a boot of the host all are read.
///
/// # Errors
/// What is wrong, as a clause.
pub fn check(image: &GuestImage, cache: &CachePaths) -> Result<(), String> {
    soundness::check(image, cache)
}
