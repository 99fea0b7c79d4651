//! What the JSON files in an archive of container images say: which images it has, and which of its files they need. The
//! archive that goes on to containerd is made anew from that, so that nothing else of it does.
//!
//! Pure but for reading the archive. Formats: the OCI image layout specification 1.1 (`oci`), and the docker image
//! specification 1.2 (`docker`). Names as containerd's importer takes them (`ctr images import`): the annotation
//! `io.containerd.image.name`, and `RepoTags`.

mod docker;
mod oci;

use std::ops::Range;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::image_archive::ArchivedImage;
use crate::image_digest::ImageDigest;
use crate::image_tar::TarFiles;

pub(crate) use oci::NAME_ANNOTATION;

/// The JSON files of an archive are small; containerd takes no manifest of more than 8 MiB.
const LARGEST_JSON: u64 = 4 << 20;
/// The most images of an archive, and the most layers of one image.
const MOST: usize = 1024;

/// What an archive holds.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) images: Vec<ArchivedImage>,
    /// The files that name the others, made anew.
    pub(crate) documents: Vec<(&'static str, Vec<u8>)>,
    /// The files that are taken from the archive.
    pub(crate) blobs: Vec<Blob>,
}

/// A file of the archive that an image needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Blob {
    /// Its path for containerd.
    pub(crate) path: String,
    /// Its path in the archive, for people.
    pub(crate) shown: String,
    /// Where its content is.
    pub(crate) content: Range<u64>,
    /// What its content must be. Nothing for a compressed layer of a docker archive whose name does not tell: containerd
    /// compares what it unpacks with the configuration.
    pub(crate) digest: Option<ImageDigest>,
}

/// Reads an archive: an OCI image layout, also where `docker save` put its `manifest.json` beside it (as containerd has it),
/// or one of `docker save` alone. `name` names an image that has none.
pub(crate) fn read(files: &TarFiles, name: Option<&str>) -> Result<Layout, String> {
    let index: Option<oci::Index> = optional(files, oci::INDEX)?;
    let manifest: Option<Vec<docker::DockerImage>> = optional(files, docker::MANIFEST)?;
    match (index, manifest) {
        (Some(index), manifest) => oci::read(files, index, &manifest.unwrap_or_default(), name),
        (None, Some(manifest)) => docker::read(files, manifest, name),
        (None, None) => Err(format!("it has neither {} nor {}", oci::INDEX, docker::MANIFEST)),
    }
}

fn no_name() -> String {
    "an image in it has no name: give it one when the archive is made (docker save NAME:TAG)".to_owned()
}

fn optional<T: DeserializeOwned>(files: &TarFiles, path: &str) -> Result<Option<T>, String> {
    let Some(content) = files.find(path)? else { return Ok(None) };
    json(path, &document(files, path, &content)?).map(Some)
}

/// The bytes of a JSON file.
fn document(files: &TarFiles, path: &str, content: &Range<u64>) -> Result<Vec<u8>, String> {
    let length = content.end.saturating_sub(content.start);
    if length > LARGEST_JSON {
        return Err(format!("{path} in it is too large to be read: {length} bytes"));
    }
    files.bytes(content)
}

/// The parts of a JSON file that are of interest; no tree is made of the others.
fn json<T: DeserializeOwned>(path: &str, bytes: &[u8]) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|error| format!("{path} in it cannot be read: {error}"))
}

pub(crate) fn bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}
