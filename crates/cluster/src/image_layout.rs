//! The JSON files of an archive of container images: which images they name, and the same files with full names.
//!
//! Pure but for the reader that its caller hands in. Formats: the OCI image layout specification 1.1, and the docker
//! image specification 1.2 (`manifest.json`). Names as containerd's importer takes them (`ctr images import`): the
//! annotation `io.containerd.image.name`, and `RepoTags`.

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::image_archive::{ArchiveFormat, ArchivedImage};
use crate::image_name::ImageName;

const OCI_INDEX: &str = "index.json";
const DOCKER_MANIFEST: &str = "manifest.json";
/// The names once more, in the form that docker used before 1.10.
const DOCKER_REPOSITORIES: &str = "repositories";
pub(crate) const NAME_ANNOTATION: &str = "io.containerd.image.name";
const REF_ANNOTATION: &str = "org.opencontainers.image.ref.name";
/// On manifests that hold a provenance of another one rather than an image (BuildKit).
const ATTESTATION_ANNOTATION: &str = "vnd.docker.reference.type";

/// What an archive holds.
pub(crate) struct Layout {
    pub(crate) format: ArchiveFormat,
    pub(crate) images: Vec<ArchivedImage>,
    /// The files that change, and their new content; nothing for a file that is left out.
    pub(crate) files: Vec<(&'static str, Option<Vec<u8>>)>,
}

/// Reads a file of the archive by its path.
pub(crate) type ReadFile<'a> = dyn FnMut(&str) -> Result<Option<Vec<u8>>, String> + 'a;

/// Reads an archive; `name` names an image that has none.
pub(crate) fn read(read_file: &mut ReadFile<'_>, name: Option<&str>) -> Result<Layout, String> {
    let index = json(read_file, OCI_INDEX)?;
    let manifest = json(read_file, DOCKER_MANIFEST)?;
    match (index, manifest) {
        (Some(index), manifest) => read_oci(read_file, index, manifest, name),
        (None, Some(manifest)) => read_docker(read_file, manifest, name),
        (None, None) => Err(format!("it has neither {OCI_INDEX} nor {DOCKER_MANIFEST}")),
    }
}

fn read_oci(
    read_file: &mut ReadFile<'_>,
    mut index: Value,
    manifest: Option<Value>,
    name: Option<&str>,
) -> Result<Layout, String> {
    let Some(Value::Array(descriptors)) = index.get_mut("manifests") else {
        return Err(format!("{OCI_INDEX} in it has no manifests"));
    };
    let mut images: Vec<ArchivedImage> = Vec::new();
    for descriptor in descriptors {
        if descriptor.pointer(&format!("/annotations/{ATTESTATION_ANNOTATION}")).is_some() {
            continue;
        }
        let target = text(descriptor, "digest").ok_or_else(|| format!("a manifest of {OCI_INDEX} has no digest"))?;
        let config_digest = config_of(read_file, &target)?;
        let tags = config_digest.as_deref().map(|digest| docker_tags(manifest.as_ref(), digest)).unwrap_or_default();
        let full = oci_name(descriptor, &tags, name)?;
        if let Some(descriptor) = descriptor.as_object_mut() {
            let annotations = descriptor.entry("annotations").or_insert(Value::Null);
            if !annotations.is_object() {
                *annotations = Value::Object(Map::new());
            }
            annotations[NAME_ANNOTATION] = full.as_str().into();
        }
        // One image under several names has a descriptor for each.
        match images.iter_mut().find(|image| image.target_digest.as_deref() == Some(&target)) {
            Some(image) => image.names.push(full),
            None => images.push(ArchivedImage { names: vec![full], config_digest, target_digest: Some(target) }),
        }
    }
    if images.is_empty() {
        return Err(format!("{OCI_INDEX} in it names no image"));
    }
    Ok(Layout { format: ArchiveFormat::Oci, images, files: vec![(OCI_INDEX, Some(bytes(&index)))] })
}

/// The name of a descriptor: containerd's annotation, a reference, the docker names, or the name given.
fn oci_name(descriptor: &Value, docker_tags: &[String], given: Option<&str>) -> Result<ImageName, String> {
    let annotation = |key: &str| descriptor.get("annotations").and_then(|annotations| text(annotations, key));
    let reference = annotation(REF_ANNOTATION);
    let full_reference = reference.clone().filter(|reference| reference.contains(['/', ':']));
    let name = match (annotation(NAME_ANNOTATION).or(full_reference), docker_tags, given, reference) {
        (Some(name), ..) => name,
        (None, [first, ..], ..) => first.clone(),
        // `ref.name` may be a bare tag.
        (None, [], Some(given), Some(tag)) if !has_tag(given) => format!("{given}:{tag}"),
        (None, [], Some(given), _) => given.to_owned(),
        (None, [], None, _) => return Err(no_name()),
    };
    ImageName::parse(&name).map_err(|fault| fault.to_string())
}

fn has_tag(name: &str) -> bool {
    name.rsplit('/').next().is_some_and(|last| last.contains([':', '@']))
}

fn no_name() -> String {
    "an image in it has no name: give it one when the archive is made (docker save NAME:TAG)".to_owned()
}

fn docker_tags(manifest: Option<&Value>, config_digest: &str) -> Vec<String> {
    let hash = config_digest.trim_start_matches("sha256:");
    manifest
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter(|image| text(image, "Config").is_some_and(|config| config.contains(hash)))
        .flat_map(|image| texts(image, "RepoTags"))
        .collect()
}

fn read_docker(read_file: &mut ReadFile<'_>, mut manifest: Value, name: Option<&str>) -> Result<Layout, String> {
    let Some(entries) = manifest.as_array_mut().filter(|entries| !entries.is_empty()) else {
        return Err(format!("{DOCKER_MANIFEST} in it names no image"));
    };
    let mut images = Vec::new();
    for entry in entries {
        let config = text(entry, "Config").ok_or_else(|| format!("an image of {DOCKER_MANIFEST} has no Config"))?;
        let content = read_file(&config)?.ok_or_else(|| format!("it has no file {config}"))?;
        let mut tags = texts(entry, "RepoTags");
        if tags.is_empty() {
            tags.push(name.ok_or_else(no_name)?.to_owned());
        }
        let names: Vec<ImageName> = tags
            .iter()
            .map(|tag| ImageName::parse(tag).map_err(|fault| fault.to_string()))
            .collect::<Result<_, _>>()?;
        entry["RepoTags"] = names.iter().map(|name| Value::from(name.as_str())).collect();
        images.push(ArchivedImage { names, config_digest: Some(digest(&content)), target_digest: None });
    }
    let files = vec![(DOCKER_MANIFEST, Some(bytes(&manifest))), (DOCKER_REPOSITORIES, None)];
    Ok(Layout { format: ArchiveFormat::Docker, images, files })
}

/// The configuration's digest of the manifest `target`, or of the only image of the index `target`.
fn config_of(read_file: &mut ReadFile<'_>, target: &str) -> Result<Option<String>, String> {
    let path = format!("blobs/{}", target.replacen(':', "/", 1));
    let content = json(read_file, &path)?.ok_or_else(|| format!("it has no file {path}"))?;
    if let Some(digest) = content.get("config").and_then(|config| text(config, "digest")) {
        return Ok(Some(digest));
    }
    let images: Vec<&Value> = content
        .get("manifests")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter(|image| image.pointer(&format!("/annotations/{ATTESTATION_ANNOTATION}")).is_none())
        .collect();
    match images.as_slice() {
        [only] => match text(only, "digest") {
            // An index in an index in an index is no image of ours.
            Some(digest) if digest != target => {
                let path = format!("blobs/{}", digest.replacen(':', "/", 1));
                let manifest = json(read_file, &path)?;
                Ok(manifest.as_ref().and_then(|manifest| text(manifest.get("config")?, "digest")))
            }
            _ => Ok(None),
        },
        _ => Ok(None),
    }
}

fn json(read_file: &mut ReadFile<'_>, path: &str) -> Result<Option<Value>, String> {
    let Some(content) = read_file(path)? else { return Ok(None) };
    serde_json::from_slice(&content).map(Some).map_err(|error| format!("{path} in it is no JSON: {error}"))
}

/// `sha256:` and the hexadecimal digest.
pub(crate) fn digest(content: &[u8]) -> String {
    hexadecimal(Sha256::digest(content))
}

/// The digest of a finished hasher, in the same form.
pub(crate) fn hexadecimal(digest: impl AsRef<[u8]>) -> String {
    digest.as_ref().iter().fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

pub(crate) fn bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

fn text(value: &Value, key: &str) -> Option<String> {
    value.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

fn texts(value: &Value, key: &str) -> Vec<String> {
    let list = value.get(key).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}
