//! An OCI image layout: `index.json` names manifests, these name configurations and layers, all by digest.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::contents::{ArchivedImage, Blob, Layout, MOST, bytes, document, no_name, parse_json};
use super::docker::{self, DockerImage};
use crate::container_image::digest::ImageDigest;
use crate::container_image::name::ImageName;
use crate::container_image::tar_files::TarFiles;

pub(super) const INDEX: &str = "index.json";
const LAYOUT: &str = "oci-layout";
pub(crate) const NAME_ANNOTATION: &str = "io.containerd.image.name";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// The deepest nesting that tools make is an index in an index in `index.json`.
const DEEPEST: usize = 3;

#[derive(Deserialize)]
pub(super) struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: Option<String>,
    digest: ImageDigest,
    size: u64,
    annotations: Option<Annotations>,
    platform: Option<Platform>,
}

#[derive(Deserialize)]
struct Annotations {
    #[serde(rename = "io.containerd.image.name")]
    name: Option<String>,
    #[serde(rename = "org.opencontainers.image.ref.name")]
    reference: Option<String>,
    /// On manifests that have the provenance of another one rather than an image (BuildKit).
    #[serde(rename = "vnd.docker.reference.type")]
    attestation: Option<IgnoredAny>,
}

#[derive(Deserialize, serde::Serialize)]
struct Platform {
    architecture: String,
    os: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    variant: Option<String>,
}

/// A manifest or an index; its members decide which.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    media_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
}

impl Descriptor {
    fn is_attestation(&self) -> bool {
        self.annotations.as_ref().is_some_and(|annotations| annotations.attestation.is_some())
    }
}

/// Why an image cannot be loaded.
enum ImageError {
    /// A part of it is not in the archive; an index may lack some platforms.
    Missing(String),
    /// The archive is broken or not supported.
    Unfit(String),
}

impl From<String> for ImageError {
    fn from(why: String) -> Self {
        ImageError::Unfit(why)
    }
}

/// The image that a descriptor refers to.
#[derive(Clone, Copy)]
struct Target {
    /// The configuration; `None` for an index of several images.
    config: Option<ImageDigest>,
    is_index: bool,
}

pub(super) fn read(
    files: &TarFiles,
    index: Index,
    docker_images: &[DockerImage],
    given: Option<&str>,
) -> Result<Layout, String> {
    if index.manifests.len() > MOST {
        return Err(format!("it has more than {MOST} images"));
    }
    let mut walk = Walk { files, blobs: BTreeMap::new(), known: BTreeMap::new() };
    let mut images: Vec<ArchivedImage> = Vec::new();
    let mut descriptors = Vec::new();
    for descriptor in index.manifests.iter().filter(|descriptor| !descriptor.is_attestation()) {
        let target =
            walk.target(descriptor, DEEPEST).map_err(|(ImageError::Missing(why) | ImageError::Unfit(why))| why)?;
        let tags = target.config.map(|config| docker::tags(docker_images, config)).unwrap_or_default();
        let name = name(descriptor, &tags, given)?;
        descriptors.push(entry(descriptor, target, &name)?);
        // One image under several names has a descriptor for each.
        match images.iter_mut().find(|image| image.target_digest == Some(descriptor.digest)) {
            Some(image) => image.names.push(name),
            None => images.push(ArchivedImage {
                names: vec![name],
                config_digest: target.config,
                target_digest: Some(descriptor.digest),
            }),
        }
    }
    if images.is_empty() {
        return Err(format!("{INDEX} in it names no image"));
    }
    let index = bytes(&json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": descriptors}));
    let documents = vec![(LAYOUT, bytes(&json!({"imageLayoutVersion": "1.0.0"}))), (INDEX, index)];
    let blobs = walk.blobs.into_values().collect();
    Ok(Layout { images, documents, blobs })
}

/// The descriptor for containerd.
fn entry(descriptor: &Descriptor, target: Target, name: &ImageName) -> Result<Value, String> {
    let fitting = if target.is_index { [OCI_INDEX, DOCKER_LIST] } else { [OCI_MANIFEST, DOCKER_MANIFEST] };
    let media_type = descriptor.media_type.as_deref().unwrap_or(fitting[0]);
    if !fitting.contains(&media_type) {
        let shown: String = media_type.chars().take(80).collect();
        return Err(format!("{INDEX} in it leads to {shown:?}, which is no container image"));
    }
    let mut entry = json!({
        "mediaType": media_type, "digest": descriptor.digest.to_string(), "size": descriptor.size,
        "annotations": {NAME_ANNOTATION: name.as_str()},
    });
    if let (Some(platform), Some(entry)) = (&descriptor.platform, entry.as_object_mut()) {
        entry.insert("platform".to_owned(), json!(platform));
    }
    Ok(entry)
}

/// The name of a descriptor: containerd's annotation, a reference, the docker names, or the name given.
fn name(descriptor: &Descriptor, docker_tags: &[String], given: Option<&str>) -> Result<ImageName, String> {
    let some = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let annotations = descriptor.annotations.as_ref();
    let reference = annotations.and_then(|annotations| some(&annotations.reference));
    let full_reference = reference.clone().filter(|reference| reference.contains(['/', ':']));
    let annotated = annotations.and_then(|annotations| some(&annotations.name)).or(full_reference);
    let name = match (annotated, docker_tags, given, reference) {
        (Some(name), ..) => name,
        (None, [first, ..], ..) => first.clone(),
        // `ref.name` may be a bare tag.
        (None, [], Some(given), Some(tag)) if !has_tag(given) => format!("{given}:{tag}"),
        (None, [], Some(given), _) => given.to_owned(),
        (None, [], None, _) => return Err(no_name()),
    };
    ImageName::parse(&name).map_err(|error| error.to_string())
}

fn has_tag(name: &str) -> bool {
    name.rsplit('/').next().is_some_and(|last| last.contains([':', '@']))
}

/// Collects the files that images need. Documents are hashed when they are read, other blobs when they are written.
struct Walk<'a> {
    files: &'a TarFiles,
    blobs: BTreeMap<ImageDigest, Blob>,
    /// The results so far, with those that are missing: nested indexes may name one digest thousands of times.
    known: BTreeMap<ImageDigest, Result<Target, String>>,
}

impl Walk<'_> {
    /// Adds the blob of a descriptor.
    fn blob(&mut self, descriptor: &Descriptor) -> Result<Blob, ImageError> {
        let path = descriptor.digest.blob_path();
        let content = self.files.find(&path)?.ok_or_else(|| ImageError::Missing(format!("it has no file {path}")))?;
        if content.end.saturating_sub(content.start) != descriptor.size {
            return Err(ImageError::Unfit(format!("{path} in it does not have the size that the archive states")));
        }
        let blob = Blob { path: path.clone(), shown: path, content, digest: Some(descriptor.digest) };
        self.blobs.insert(descriptor.digest, blob.clone());
        Ok(blob)
    }

    /// Adds a manifest or an index with all blobs that it needs.
    fn target(&mut self, descriptor: &Descriptor, depth: usize) -> Result<Target, ImageError> {
        if let Some(known) = self.known.get(&descriptor.digest) {
            return known.clone().map_err(ImageError::Missing);
        }
        let found = self.read_target(descriptor, depth);
        match &found {
            Ok(target) => drop(self.known.insert(descriptor.digest, Ok(*target))),
            Err(ImageError::Missing(why)) => drop(self.known.insert(descriptor.digest, Err(why.clone()))),
            // The error ends the walk.
            Err(ImageError::Unfit(_)) => {}
        }
        found
    }

    fn read_target(&mut self, descriptor: &Descriptor, depth: usize) -> Result<Target, ImageError> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(ImageError::Unfit("the indexes in it are nested too deeply".to_owned()));
        };
        let blob = self.blob(descriptor)?;
        let content = document(self.files, &blob.shown, &blob.content)?;
        if ImageDigest::of(&content) != descriptor.digest {
            return Err(ImageError::Unfit(format!("{} in it does not match its name", blob.shown)));
        }
        let document: Document = parse_json(&blob.shown, &content)?;
        let types = [descriptor.media_type.as_deref(), document.media_type.as_deref()];
        let says = |kinds: [&str; 2]| types.iter().flatten().any(|kind| kinds.contains(kind));
        match (document.config, document.layers, document.manifests) {
            (Some(config), layers, None) if !says([OCI_INDEX, DOCKER_LIST]) => {
                let layers = layers.unwrap_or_default();
                if layers.len() > MOST {
                    return Err(ImageError::Unfit(format!("an image in it has more than {MOST} layers")));
                }
                for part in std::iter::once(&config).chain(&layers) {
                    self.blob(part)?;
                }
                Ok(Target { config: Some(config.digest), is_index: false })
            }
            (None, None, Some(manifests)) if !says([OCI_MANIFEST, DOCKER_MANIFEST]) => {
                self.platforms(&manifests, depth)
            }
            // One reader could take it for a manifest and another for an index.
            _ => Err(ImageError::Unfit(format!("{} in it is neither a manifest nor an index", blob.shown))),
        }
    }

    /// Adds the images of an index, one a platform, of which at least one must be complete.
    fn platforms(&mut self, manifests: &[Descriptor], depth: usize) -> Result<Target, ImageError> {
        if manifests.len() > MOST {
            return Err(ImageError::Unfit(format!("an index in it has more than {MOST} images")));
        }
        let mut complete = Vec::new();
        let mut missing = None;
        for child in manifests {
            match self.target(child, depth) {
                Ok(target) if !child.is_attestation() => complete.push(target),
                Ok(_) => {}
                Err(ImageError::Missing(_)) if child.is_attestation() => {}
                Err(ImageError::Missing(why)) => drop(missing.get_or_insert(why)),
                Err(unfit) => return Err(unfit),
            }
        }
        match complete.as_slice() {
            [only] => Ok(Target { config: only.config, is_index: true }),
            [] => Err(ImageError::Missing(missing.unwrap_or_else(|| "an index in it names no image".to_owned()))),
            _ => Ok(Target { config: None, is_index: true }),
        }
    }
}
