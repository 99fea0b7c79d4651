//! Archives of both formats: the images that are read, and the archive that containerd gets.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::container_image::layout::bytes;
use crate::container_image::name::ImageName;

mod hostile;

fn digest(content: &[u8]) -> String {
    ImageDigest::of(content).to_string()
}

fn blob(content: &[u8]) -> String {
    ImageDigest::of(content).blob_path()
}

/// A tar of files.
fn tar_of(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, path, content.as_slice()).unwrap();
    }
    archive.into_inner().unwrap()
}

fn files_of(tar: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut archive = tar::Archive::new(tar);
    archive
        .entries()
        .unwrap()
        .map(|entry| {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().to_string_lossy().into_owned();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            (path, content)
        })
        .collect()
}

/// An archive and the directory of its copy.
#[derive(Debug)]
struct Spooled {
    archive: ImageArchive,
    _directory: tempfile::TempDir,
}

impl std::ops::Deref for Spooled {
    type Target = ImageArchive;
    fn deref(&self) -> &ImageArchive {
        &self.archive
    }
}

fn read(tar: &[u8], name: Option<&str>) -> Result<Spooled> {
    let directory = tempfile::tempdir().unwrap();
    let archive = ImageArchive::from_reader(&mut &*tar, directory.path(), &unlimited(), name)?;
    Ok(Spooled { archive, _directory: directory })
}

fn unlimited() -> SizeLimit {
    SizeLimit { bytes: u64::MAX, why: String::new(), next: String::new() }
}

fn rewritten(archive: &ImageArchive) -> Vec<u8> {
    let mut output = Vec::new();
    archive.write_normalized(&mut output).unwrap();
    output
}

fn names(archive: &ImageArchive) -> Vec<&str> {
    archive.images().iter().flat_map(|image| &image.names).map(ImageName::as_str).collect()
}

const LONG: &str =
    "a-path-that-is-longer-than-the-hundred-bytes-which-the-header-of-a-tar-entry-has-room-for/and/some-more/layer.tar";

/// The configuration of an image of these layers.
fn configuration(layers: &[&[u8]]) -> Vec<u8> {
    let diff_ids: Vec<String> = layers.iter().map(|layer| digest(layer)).collect();
    bytes(&json!({"architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": diff_ids}}))
}

fn docker(tags: Value) -> Vec<u8> {
    tar_of(&[
        ("config.json", configuration(&[&[7; 2000]])),
        (LONG, vec![7; 2000]),
        ("manifest.json", bytes(&json!([{"Config": "config.json", "RepoTags": tags, "Layers": [LONG]}]))),
        ("repositories", b"{}".to_vec()),
        ("last", vec![8; 10]),
    ])
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

struct Oci {
    files: Vec<(String, Vec<u8>)>,
    manifest: Value,
    config_digest: String,
}

fn oci() -> Oci {
    let config = b"{\"architecture\": \"amd64\"}".to_vec();
    let config_digest = digest(&config);
    let manifest = bytes(&json!({"config": {"digest": config_digest, "size": config.len()}, "layers": []}));
    let descriptor = json!({"mediaType": MANIFEST, "digest": digest(&manifest), "size": manifest.len()});
    let files = vec![(blob(&config), config.clone()), (blob(&manifest), manifest.clone())];
    Oci { files, manifest: descriptor, config_digest }
}

fn oci_archive(oci: &Oci, index: Value, more: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut files: Vec<(&str, Vec<u8>)> = vec![("index.json", bytes(&index)), ("oci-layout", b"{}".to_vec())];
    files.extend(oci.files.iter().map(|(path, content)| (path.as_str(), content.clone())));
    files.extend(more.iter().cloned());
    tar_of(&files)
}

fn with_annotations(oci: &Oci, annotations: Value) -> Value {
    let mut descriptor = oci.manifest.clone();
    descriptor["annotations"] = annotations;
    json!({"schemaVersion": 2, "manifests": [descriptor]})
}

#[test]
fn a_docker_archive_gets_full_names_and_only_what_its_images_need() {
    let tar = docker(json!(["local/web:dev", "nginx"]));
    let archive = read(&tar, None).unwrap();
    assert_eq!(archive.images()[0].target_digest, None);
    assert_eq!(names(&archive), ["docker.io/local/web:dev", "docker.io/library/nginx:latest"]);
    let config = configuration(&[&[7; 2000]]);
    assert_eq!(archive.images()[0].config_digest, Some(ImageDigest::of(&config)));
    let after = files_of(&rewritten(&archive));
    let manifest: Value = serde_json::from_slice(&after["manifest.json"]).unwrap();
    let config_path = format!("{}.json", &digest(&config)[7..]);
    assert_eq!(
        manifest,
        json!([{"Config": config_path, "RepoTags": ["docker.io/local/web:dev", "docker.io/library/nginx:latest"], "Layers": ["layer-1.tar"]}])
    );
    let names: Vec<&str> = after.keys().map(String::as_str).collect();
    assert_eq!(names, [config_path.as_str(), "layer-1.tar", "manifest.json"], "`repositories` would bring short names");
    assert_eq!((&after[&config_path], &after["layer-1.tar"]), (&config, &vec![7; 2000]));
}

#[test]
fn a_docker_archive_without_names_takes_the_one_given() {
    let tar = docker(Value::Null);
    assert_eq!(names(&read(&tar, Some("local/web")).unwrap()), ["docker.io/local/web:latest"]);
    insta::assert_snapshot!(read(&tar, None).unwrap_err(), @"standard input is no archive of container images: an image in it has no name: give it one when the archive is made (docker save NAME:TAG)");
}

#[test]
fn an_oci_archive_gets_the_annotation_that_containerd_reads() {
    let oci = oci();
    let tag = "org.opencontainers.image.ref.name";
    let containerd = "io.containerd.image.name";
    for (annotations, given, expected) in [
        (json!({containerd: "local/web:dev", tag: "dev"}), None, "docker.io/local/web:dev"),
        (json!({tag: "localhost/web:dev"}), None, "localhost/web:dev"),
        (json!({tag: "dev"}), Some("local/web"), "docker.io/local/web:dev"),
        (json!({tag: "dev"}), Some("local/web:other"), "docker.io/local/web:other"),
        (Value::Null, Some("web"), "docker.io/library/web:latest"),
    ] {
        let tar = oci_archive(&oci, with_annotations(&oci, annotations.clone()), &[]);
        let archive = read(&tar, given).unwrap();
        assert!(archive.images()[0].target_digest.is_some());
        assert_eq!(names(&archive), [expected], "{annotations}");
        assert_eq!(archive.images()[0].config_digest.map(|it| it.to_string()).as_ref(), Some(&oci.config_digest));
        let after = files_of(&rewritten(&archive));
        let index: Value = serde_json::from_slice(&after["index.json"]).unwrap();
        assert_eq!(index["manifests"][0]["annotations"][containerd], expected);
        assert_eq!(index["manifests"][0]["digest"], oci.manifest["digest"]);
        assert_eq!(index["schemaVersion"], 2);
        for (path, content) in &oci.files {
            assert_eq!(&after[path], content);
        }
    }
    insta::assert_snapshot!(
        read(&oci_archive(&oci, with_annotations(&oci, json!({tag: "dev"})), &[]), None).unwrap_err(), @"standard input is no archive of container images: an image in it has no name: give it one when the archive is made (docker save NAME:TAG)");
}

#[test]
fn an_archive_of_both_formats_takes_the_names_of_the_docker_manifest() {
    let oci = oci();
    let config = format!("blobs/{}", oci.config_digest.replacen(':', "/", 1));
    let manifest = bytes(&json!([{"Config": config, "RepoTags": ["web:1"]}]));
    let tar = oci_archive(&oci, with_annotations(&oci, Value::Null), &[("manifest.json", manifest)]);
    assert_eq!(names(&read(&tar, None).unwrap()), ["docker.io/library/web:1"]);
}

#[test]
fn one_image_with_two_names_and_a_provenance_is_one_image() {
    let oci = oci();
    let named = |name: &str| with_annotations(&oci, json!({"io.containerd.image.name": name}))["manifests"][0].clone();
    let provenance =
        with_annotations(&oci, json!({"vnd.docker.reference.type": "attestation-manifest"}))["manifests"][0].clone();
    let tar = oci_archive(&oci, json!({"manifests": [named("a:1"), named("b:2"), provenance]}), &[]);
    let archive = read(&tar, None).unwrap();
    assert_eq!(archive.images().len(), 1);
    assert_eq!(names(&archive), ["docker.io/library/a:1", "docker.io/library/b:2"]);
}

#[test]
fn an_index_with_one_image_has_its_configuration() {
    let oci = oci();
    let inner = bytes(&json!({"manifests": [oci.manifest, {
        "digest": digest(b"gone"), "size": 4, "annotations": {"vnd.docker.reference.type": "attestation-manifest"}},
        {"digest": digest(b"another platform"), "size": 16}]}));
    let annotations = json!({"io.containerd.image.name": "a"});
    let index = json!({"manifests": [{"digest": digest(&inner), "size": inner.len(), "annotations": annotations}]});
    let tar = oci_archive(&oci, index, &[(&blob(&inner), inner.clone())]);
    assert_eq!(
        read(&tar, None).unwrap().images()[0].config_digest.map(|it| it.to_string()).as_ref(),
        Some(&oci.config_digest)
    );
}

#[test]
fn other_files_are_refused() {
    let oci = oci();
    let mut messages = String::new();
    for bytes in [
        Vec::new(),
        b"hello, I am no tar file".repeat(60),
        vec![0x1f, 0x8b, 8, 0, 0, 0],
        tar_of(&[("hello", b"x".to_vec())]),
        tar_of(&[("manifest.json", b"{".to_vec())]),
        tar_of(&[("manifest.json", b"[]".to_vec())]),
        tar_of(&[("manifest.json", br#"[{"Config": "gone", "RepoTags": ["a"]}]"#.to_vec())]),
        tar_of(&[("index.json", bytes(&json!({"manifests": [{"digest": digest(b"x"), "size": 1}]})))]),
        docker(json!(["Not A Name"])),
        docker(json!(["web"]))[..3000].to_vec(),
        oci_archive(&oci, json!({"manifests": []}), &[]),
    ] {
        let error = read(&bytes, None).unwrap_err();
        assert_eq!(error.class(), ErrorClass::Config);
        messages +=
            &format!("{error}\n{}", error.next_steps().iter().map(|step| format!("  {step}\n")).collect::<String>());
    }
    insta::assert_snapshot!(messages, @r#"
    standard input is no archive of container images: it has neither index.json nor manifest.json
    standard input is no archive of container images: it is no tar file
    standard input is no archive of container images: it is compressed with gzip
      gzip -dc FILE | k3s-vm load -
    standard input is no archive of container images: it has neither index.json nor manifest.json
    standard input is no archive of container images: manifest.json in it cannot be read: invalid type: map, expected a sequence at line 1 column 0
    standard input is no archive of container images: manifest.json in it names no image
    standard input is no archive of container images: it has no file gone
    standard input is no archive of container images: it has no file blobs/sha256/2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881
    standard input is no archive of container images: `Not A Name` is no name of a container image: `Not A Name` has something other than lower-case letters, digits and single `.`, `_` or `-` between them
    standard input is no archive of container images: it is cut off in the middle of a-path-that-is-longer-than-the-hundred-bytes-which-the-header-of-a-tar-entry-has-room-for/and/some-more/layer.tar
    standard input is no archive of container images: index.json in it names no image
    "#);
}

#[test]
fn the_copy_of_a_stream_goes_away_and_an_opened_file_stays() {
    let directory = tempfile::tempdir().unwrap();
    let tar = docker(json!(["web"]));
    let spooled = directory.path().join("spool");
    let archive = ImageArchive::from_reader(&mut tar.as_slice(), &spooled, &unlimited(), None).unwrap();
    assert_eq!(std::fs::read_dir(&spooled).unwrap().count(), 1);
    drop(archive);
    assert_eq!(std::fs::read_dir(&spooled).unwrap().count(), 0);
    let file = directory.path().join("web.tar");
    std::fs::write(&file, &tar).unwrap();
    drop(ImageArchive::open(&file, None).unwrap());
    assert!(file.exists());
}
