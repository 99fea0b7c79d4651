//! Guest images: the providers that build them, the distributions that run in them, and the cache that projects share.
//!
//! This crate builds files and never starts a VM. Entry points: [`locate`], [`requirements`], [`ensure`].

mod architecture;
mod auto;
mod choice;
mod contract;
mod debian;
mod directory_entries;
mod distribution;
mod fingerprint;
mod integrity;
mod k3s;
mod kubernetes;
mod manifest;
mod nix;
mod prebuilt;
mod provider;
mod rebuilds;
mod request;
mod store;

use std::path::Path;

use model::config;
use model::guest_image::GuestImage;
use model::paths::CachePaths;
use model::requirement::Requirement;
use model::{ErrorClass, Result};

use auto::Auto;
use debian::Debian;
use nix::{Nix, Places};
use prebuilt::Prebuilt;
use provider::Provider;

pub use nix::pin::{PinReport, PinUpdate};
pub use request::ImageRequest;

fn provider_of(request: &ImageRequest) -> Box<dyn Provider> {
    let nix = || Nix { places: Places::of_process() };
    match request.config.provider {
        config::Provider::Auto => Box::new(Auto { nix: nix() }),
        config::Provider::Nix => Box::new(nix()),
        config::Provider::Debian => Box::new(Debian),
        config::Provider::Prebuilt => Box::new(Prebuilt),
    }
}

/// Finds the guest image of this request, if it exists and is undamaged. Runs no program, uses no network and builds
/// nothing. The first call after a boot of the host reads all files of the guest image to verify them. A damaged one in
/// the cache counts as absent.
///
/// # Errors
/// Sources that cannot be read, a K3s file of the user that cannot be used, or a prebuilt directory that breaks the
/// guest contract or is damaged.
pub fn locate(request: &ImageRequest) -> Result<Option<GuestImage>> {
    provider_of(request).locate(request)
}

/// The host programs that [`ensure`] will need (none if the guest image exists), or those that [`rebuild`] needs.
/// This call fixes the distribution of a new guest image, and may ask the release host for it. For a rebuild it always
/// asks again.
///
/// # Errors
/// As [`locate`], and failures to get the K3s release that is needed.
pub fn requirements(request: &ImageRequest, rebuild: bool) -> Result<Vec<Requirement>> {
    if rebuild {
        choice::forget(request)?;
    }
    let provider = provider_of(request);
    match provider.locate(request)? {
        Some(_) if !rebuild => Ok(Vec::new()),
        _ => provider.requirements(request),
    }
}

/// Finds the guest image or builds it. A build holds a lock and works in a temporary directory of the cache, which is
/// renamed once it is complete. Emits the tasks `packages`, `kubernetes` or `k3s`, and `image`.
///
/// # Errors
/// The output of the build tool that failed, with its command; a Timeout error after [`ImageRequest::deadline`].
pub fn ensure(request: &ImageRequest) -> Result<GuestImage> {
    provider_of(request).ensure(request)
}

/// Builds the guest image again from the cached parts, in a directory of its own, which [`locate`] finds from then on.
/// The former one stays: disks of other instances use it as their backing file.
///
/// # Errors
/// As [`ensure`]; a Config error for a prebuilt guest image.
pub fn rebuild(request: &ImageRequest) -> Result<GuestImage> {
    provider_of(request).rebuild(request)
}

/// Opens the guest image in `directory`, whichever provider built it: the one that an instance's disk was made on.
///
/// # Errors
/// A State error if it does not exist or breaks the guest contract.
pub fn open(directory: &Path, cache: &CachePaths) -> Result<GuestImage> {
    // A guest image of the cache has its fingerprint as its name.
    let fingerprint = match directory.file_name() {
        Some(name) if directory.parent() == Some(&cache.images()) => name.to_string_lossy().into_owned(),
        _ => prebuilt::fingerprint(directory)?,
    };
    manifest::read_image(directory, fingerprint, ErrorClass::State)
}

/// Verifies that the files of a guest image are those that were built. The first call after a boot of the host reads
/// all of them.
///
/// # Errors
/// The damage, as a clause.
pub fn check(image: &GuestImage, cache: &CachePaths) -> Result<(), String> {
    integrity::check(image, cache)
}
