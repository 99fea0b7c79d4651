//! `docker save`: `manifest.json` names each image's configuration and layers by their paths in the archive.
//!
//! The paths need not name the content. The configuration lists the digests of the layers (`diff_ids`), and its own
//! digest is the image's id.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Deserialize;
use serde_json::{Value, json};

use super::contents::{ArchivedImage, Blob, Layout, MOST, bytes, document, no_name, parse_json};
use crate::container_image::digest::ImageDigest;
use crate::container_image::name::ImageName;
use crate::container_image::tar_files::TarFiles;

pub(super) const MANIFEST: &str = "manifest.json";

/// An image of `manifest.json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DockerImage {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Configuration {
    rootfs: RootFilesystem,
}

#[derive(Deserialize)]
struct RootFilesystem {
    diff_ids: Vec<ImageDigest>,
}

/// The names that `images` gives to the image of this configuration.
pub(super) fn tags(images: &[DockerImage], config: ImageDigest) -> Vec<String> {
    let digits = config.hexadecimal();
    let of_config = images.iter().filter(|image| image.config.contains(&digits));
    of_config.flat_map(|image| image.repo_tags.iter().flatten().cloned()).collect()
}

pub(super) fn read(files: &TarFiles, manifest: Vec<DockerImage>, name: Option<&str>) -> Result<Layout, String> {
    if manifest.is_empty() {
        return Err(format!("{MANIFEST} in it names no image"));
    }
    if manifest.len() > MOST {
        return Err(format!("it has more than {MOST} images"));
    }
    let mut images = Vec::new();
    let mut entries = Vec::new();
    let mut blobs = Blobs::default();
    for image in &manifest {
        let names = names(image, name)?;
        let content = find(files, &image.config)?;
        let config = document(files, &image.config, &content)?;
        let digest = ImageDigest::of(&config);
        if digest_in_name(&image.config).is_some_and(|named| named != digest) {
            return Err(format!("{} in it does not match its name", image.config));
        }
        let config: Configuration = parse_json(&image.config, &config)?;
        let config_path = format!("{}.json", digest.hexadecimal());
        blobs.add(&content, &image.config, config_path.clone(), Some(digest))?;
        let paths = image.layers.as_deref().unwrap_or_default();
        let layers = blobs.layers(files, paths, &config.rootfs.diff_ids)?;
        let tags: Vec<&str> = names.iter().map(ImageName::as_str).collect();
        entries.push(json!({"Config": config_path, "RepoTags": tags, "Layers": layers}));
        images.push(ArchivedImage { names, config_digest: Some(digest), target_digest: None });
    }
    let documents = vec![(MANIFEST, bytes(&Value::Array(entries)))];
    Ok(Layout { images, documents, blobs: blobs.list })
}

fn names(image: &DockerImage, given: Option<&str>) -> Result<Vec<ImageName>, String> {
    let given = given.map(str::to_owned);
    let tags = match image.repo_tags.as_deref() {
        Some(tags) if !tags.is_empty() => tags,
        _ => std::slice::from_ref(given.as_ref().ok_or_else(no_name)?),
    };
    if tags.len() > MOST {
        return Err(format!("an image in it has more than {MOST} names"));
    }
    tags.iter().map(|tag| ImageName::parse(tag).map_err(|error| error.to_string())).collect()
}

fn find(files: &TarFiles, path: &str) -> Result<Range<u64>, String> {
    files.find(path)?.ok_or_else(|| format!("it has no file {path}"))
}

/// The digest that a file is named by: `HEX.json`, `blobs/sha256/HEX`, `sha256:HEX`, `HEX.tar.gz`.
fn digest_in_name(path: &str) -> Option<ImageDigest> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let name = name.strip_prefix("sha256:").unwrap_or(name);
    ImageDigest::of_hexadecimal(name.split('.').next().unwrap_or(name))
}

/// The files that images need, each once.
#[derive(Default)]
struct Blobs {
    list: Vec<Blob>,
    /// Position in the archive -> index in `list`.
    known: BTreeMap<u64, usize>,
}

impl Blobs {
    /// The path of the file at `content` for containerd, which is `path` unless the file is known.
    fn add(
        &mut self,
        content: &Range<u64>,
        shown: &str,
        path: String,
        digest: Option<ImageDigest>,
    ) -> Result<String, String> {
        let known = self.known.get(&content.start).and_then(|index| self.list.get_mut(*index));
        if let Some(blob) = known {
            if blob.digest.is_some() && digest.is_some() && blob.digest != digest {
                return Err(format!("{shown} in it does not match the configuration of each of its images"));
            }
            blob.digest = blob.digest.or(digest);
            return Ok(blob.path.clone());
        }
        self.known.insert(content.start, self.list.len());
        self.list.push(Blob { path: path.clone(), shown: shown.to_owned(), content: content.clone(), digest });
        Ok(path)
    }

    fn layers(&mut self, files: &TarFiles, paths: &[String], diff_ids: &[ImageDigest]) -> Result<Vec<String>, String> {
        if paths.len() != diff_ids.len() || paths.len() > MOST {
            return Err(format!("an image in it has {} layers, its configuration {}", paths.len(), diff_ids.len()));
        }
        let mut layers = Vec::new();
        for (path, diff_id) in paths.iter().zip(diff_ids) {
            let content = find(files, path)?;
            let digest = if is_compressed(files, &content)? { digest_in_name(path) } else { Some(*diff_id) };
            layers.push(self.add(&content, path, format!("layer-{}.tar", self.list.len()), digest)?);
        }
        Ok(layers)
    }
}

/// Whether the first bytes are those of gzip or zstd, the compressions that containerd unpacks.
fn is_compressed(files: &TarFiles, content: &Range<u64>) -> Result<bool, String> {
    let begin = files.bytes(&(content.start..content.end.min(content.start.saturating_add(4))))?;
    Ok(matches!(begin.as_slice(), [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd]))
}
