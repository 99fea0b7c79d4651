//! Manifests: the files, the objects in them, and the order in which objects are applied.

mod documents;
pub mod files;
mod object;
pub mod order;
mod strict_json;
mod text;

pub use object::{ManifestObject, Origin, name_namespace};
pub use text::{ManifestText, parse, want_nothing};
