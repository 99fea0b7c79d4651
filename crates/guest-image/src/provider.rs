//! The seam between the ways to get a guest image.

use model::Result;
use model::config;
use model::guest_image::GuestImage;
use model::requirement::Requirement;

use crate::ImageRequest;
use crate::auto::Auto;
use crate::debian::Debian;
use crate::nix::{Nix, Places};
use crate::prebuilt::Prebuilt;

/// A way to get a guest image.
pub(crate) trait Provider {
    /// The image if it is there; runs no program.
    fn locate(&self, request: &ImageRequest) -> Result<Option<GuestImage>>;
    /// The host programs that [`Provider::ensure`] needs when the image is not there.
    fn requirements(&self, request: &ImageRequest) -> Result<Vec<Requirement>>;
    /// Finds or builds the image.
    fn ensure(&self, request: &ImageRequest) -> Result<GuestImage>;
    /// Builds the image once more, beside the one that is there.
    fn rebuild(&self, request: &ImageRequest) -> Result<GuestImage>;
}

/// The provider that the configuration means.
pub(crate) fn of(configured: config::Provider) -> Box<dyn Provider> {
    let nix = || Nix { places: Places::of_process() };
    match configured {
        config::Provider::Auto => Box::new(Auto { nix: nix() }),
        config::Provider::Nix => Box::new(nix()),
        config::Provider::Debian => Box::new(Debian),
        config::Provider::Prebuilt => Box::new(Prebuilt),
    }
}
