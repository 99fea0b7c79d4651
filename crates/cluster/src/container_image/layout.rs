//! Reads the JSON files of an archive of container images: which images it has, and which of its files they need. The
//! archive for containerd is made anew of these alone.
//!
//! Pure but for reading the archive. Formats: the OCI image layout specification 1.1 (`oci`), and the docker image
//! specification 1.2 (`docker`). Names as containerd's importer takes them (`ctr images import`): the annotation
//! `io.containerd.image.name`, and `RepoTags`.

mod contents;
mod docker;
mod oci;

use super::tar_files::TarFiles;
use contents::optional;

pub use contents::ArchivedImage;
pub(crate) use contents::{Blob, Layout, bytes};
pub(crate) use oci::NAME_ANNOTATION;

/// Reads an archive: an OCI image layout, which wins over a `manifest.json` that `docker save` put beside it (as in
/// containerd), or the format of `docker save` alone. `name` names an image that has none.
pub(crate) fn read(files: &TarFiles, name: Option<&str>) -> Result<Layout, String> {
    let index: Option<oci::Index> = optional(files, oci::INDEX)?;
    let manifest: Option<Vec<docker::DockerImage>> = optional(files, docker::MANIFEST)?;
    match (index, manifest) {
        (Some(index), manifest) => oci::read(files, index, &manifest.unwrap_or_default(), name),
        (None, Some(manifest)) => docker::read(files, manifest, name),
        (None, None) => Err(format!("it has neither {} nor {}", oci::INDEX, docker::MANIFEST)),
    }
}
