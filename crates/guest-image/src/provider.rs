//! The seam between the ways to get a guest image.

use model::Result;
use model::guest_image::GuestImage;
use model::requirement::Requirement;

use crate::request::ImageRequest;

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
