//! Container images: their names and digests, archives that are loaded, and images that are made of files.

pub mod annotation;
mod archive;
mod digest;
mod layer;
mod layout;
mod name;
mod pack;
mod tar_files;

pub use archive::{ImageArchive, SizeLimit};
pub use digest::ImageDigest;
pub use layout::ArchivedImage;
pub use name::ImageName;
pub use pack::{ImageRecipe, PackedImage};
