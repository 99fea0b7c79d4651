//! The contents of an archive: its images, and the files that they need.

use std::ops::Range;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::container_image::digest::ImageDigest;
use crate::container_image::name::ImageName;
use crate::container_image::tar_files::TarFiles;

/// The JSON files of an archive are small; containerd takes no manifest of more than 8 MiB.
const LARGEST_JSON: u64 = 4 << 20;
/// The most images of an archive, and the most layers of one image.
pub(super) const MOST: usize = 1024;

/// One image of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchivedImage {
    /// The full names.
    pub names: Vec<ImageName>,
    /// The digest of the configuration: what `crictl images` calls the image's id, and a name that containerd's CRI
    /// plugin gives the image. `None` for an index of several platforms.
    pub config_digest: Option<ImageDigest>,
    /// The digest of the manifest, which `ctr images list` shows. `None` in a docker archive: containerd makes the
    /// manifest itself.
    pub target_digest: Option<ImageDigest>,
}

/// The contents of an archive.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) images: Vec<ArchivedImage>,
    /// The JSON files that name the others, made anew.
    pub(crate) documents: Vec<(&'static str, Vec<u8>)>,
    /// The files that are taken from the archive.
    pub(crate) blobs: Vec<Blob>,
}

/// A file of the archive that an image needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Blob {
    /// The path in the archive for containerd.
    pub(crate) path: String,
    /// The path in the archive that was read, for messages.
    pub(crate) shown: String,
    /// The position of the content in the archive that was read.
    pub(crate) content: Range<u64>,
    /// The digest that the content must have. `None` for a compressed layer of a docker archive whose name has no
    /// digest: containerd compares what it unpacks with the configuration.
    pub(crate) digest: Option<ImageDigest>,
}

impl Blob {
    /// The length of the content in bytes.
    pub(crate) fn length(&self) -> u64 {
        self.content.end.saturating_sub(self.content.start)
    }
}

pub(super) fn no_name() -> String {
    "an image in it has no name: give it one when the archive is made (docker save NAME:TAG)".to_owned()
}

/// A JSON file, where the archive has it.
pub(super) fn optional<T: DeserializeOwned>(files: &TarFiles, path: &str) -> Result<Option<T>, String> {
    let Some(content) = files.find(path)? else { return Ok(None) };
    parse_json(path, &document(files, path, &content)?).map(Some)
}

/// The bytes of a JSON file.
pub(super) fn document(files: &TarFiles, path: &str, content: &Range<u64>) -> Result<Vec<u8>, String> {
    let length = content.end.saturating_sub(content.start);
    if length > LARGEST_JSON {
        return Err(format!("{path} in it is too large to be read: {length} bytes"));
    }
    files.bytes(content)
}

/// The known members of a JSON file; the others are skipped without a tree of values.
pub(super) fn parse_json<T: DeserializeOwned>(path: &str, bytes: &[u8]) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|error| format!("{path} in it cannot be read: {error}"))
}

pub(crate) fn bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}
