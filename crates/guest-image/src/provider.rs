//! The interface of image providers.

use model::Result;
use model::guest_image::GuestImage;
use model::requirement::Requirement;

use crate::request::ImageRequest;

/// Finds and builds guest images.
pub(crate) trait Provider {
    /// Finds the guest image, if it exists. Runs no program.
    fn locate(&self, request: &ImageRequest) -> Result<Option<GuestImage>>;
    /// The host programs that [`Provider::ensure`] needs to build the guest image.
    fn requirements(&self, request: &ImageRequest) -> Result<Vec<Requirement>>;
    /// Finds the guest image or builds it.
    fn ensure(&self, request: &ImageRequest) -> Result<GuestImage>;
    /// Builds the guest image again, beside the existing one.
    fn rebuild(&self, request: &ImageRequest) -> Result<GuestImage>;
}
