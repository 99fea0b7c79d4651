//! A container image made of files, without a container engine: an OCI image layout in one tar.
//!
//! Reproducible: the same files give the same bytes. Formats: OCI image specification 1.1 (image layout, manifest,
//! configuration), one uncompressed layer, written by `layer`.

use std::collections::BTreeMap;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use model::{Error, ErrorClass, Result};
use serde_json::{Value, json};

use super::digest::ImageDigest;
use super::layer;
use super::layout::{NAME_ANNOTATION, bytes};
use super::name::ImageName;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// The contents of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageRecipe {
    /// The image's name.
    pub name: ImageName,
    /// The program and its arguments.
    pub entrypoint: Vec<String>,
    /// Absolute path in the image -> file or directory on the host. Files have their modes, owner 0 and time 0. A file
    /// wins over one of the same path in a directory.
    pub files: BTreeMap<String, PathBuf>,
    /// The environment, `NAME=value`.
    pub environment: Vec<String>,
    /// The architecture as Rust and uname write it: `x86_64` or `aarch64`.
    pub architecture: String,
}

/// An image that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedImage {
    /// The archive's path.
    pub path: PathBuf,
    /// The digest of the image's configuration.
    pub config_digest: ImageDigest,
}

impl ImageRecipe {
    /// Writes the archive to `destination`, whole or not at all.
    ///
    /// # Errors
    /// A Config error that names a missing file or a path that is not absolute; a Host error where writing fails.
    pub fn pack(&self, destination: &Path) -> Result<PackedImage> {
        let directory = match destination.parent() {
            Some(directory) if !directory.as_os_str().is_empty() => directory,
            _ => Path::new("."),
        };
        let unwritable = |error: std::io::Error| {
            Error::new(ErrorClass::Host, format!("cannot write {}", destination.display())).because(error)
        };
        if self.entrypoint.is_empty() {
            return Err(Error::new(ErrorClass::Config, format!("the image {} has no entrypoint", self.name))
                .next("set entrypoint = [\"/path/in/the/image\"] in .k3s-vm/config.toml"));
        }
        host::files::create_dir(directory)?;
        let mut layer_file = tempfile::tempfile_in(directory).map_err(unwritable)?;
        let layer = layer::write(&self.files, &mut layer_file)
            .map_err(|error| error.context(format!("cannot make the image {}", self.name)))?;
        let config = bytes(&self.config(layer.digest)?);
        let config_digest = ImageDigest::of(&config);
        let manifest = bytes(&json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor(CONFIG, &config),
            "layers": [{"mediaType": LAYER, "digest": layer.digest.to_string(), "size": layer.size}],
        }));
        let mut target = descriptor(MANIFEST, &manifest);
        target["annotations"] = json!({
            NAME_ANNOTATION: self.name.as_str(),
            "org.opencontainers.image.ref.name": self.name.tag().unwrap_or("latest"),
        });
        let index = bytes(&json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [target]}));

        let mut temporary = tempfile::NamedTempFile::new_in(directory).map_err(unwritable)?;
        let mut archive = tar::Builder::new(std::io::BufWriter::new(temporary.as_file_mut()));
        let layout = bytes(&json!({"imageLayoutVersion": "1.0.0"}));
        let mut add = |path: &str, size: u64, content: &mut dyn std::io::Read| {
            archive
                .append_data(&mut layer::header(tar::EntryType::Regular, 0o644, size), path, content)
                .map_err(unwritable)
        };
        add("oci-layout", layout.len() as u64, &mut layout.as_slice())?;
        add("index.json", index.len() as u64, &mut index.as_slice())?;
        for content in [&manifest, &config] {
            add(&ImageDigest::of(content).blob_path(), content.len() as u64, &mut content.as_slice())?;
        }
        layer_file.seek(SeekFrom::Start(0)).map_err(unwritable)?;
        add(&layer.digest.blob_path(), layer.size, &mut layer_file)?;
        archive.into_inner().and_then(|mut writer| writer.flush()).map_err(unwritable)?;
        temporary.persist(destination).map_err(|error| unwritable(error.error))?;
        Ok(PackedImage { path: destination.to_owned(), config_digest })
    }

    fn config(&self, layer_digest: ImageDigest) -> Result<Value> {
        let architecture = match self.architecture.as_str() {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => {
                return Err(Error::new(ErrorClass::Config, format!("cannot make the image {}", self.name))
                    .because(format!("no architecture of container images is known for {other}")));
            }
        };
        Ok(json!({
            "created": "1970-01-01T00:00:00Z",
            "architecture": architecture,
            "os": "linux",
            "config": {"Entrypoint": self.entrypoint, "Env": self.environment, "WorkingDir": "/"},
            "rootfs": {"type": "layers", "diff_ids": [layer_digest.to_string()]},
            "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "k3s-vm"}],
        }))
    }
}

fn descriptor(media_type: &str, content: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": ImageDigest::of(content).to_string(), "size": content.len()})
}

#[cfg(test)]
mod tests;
