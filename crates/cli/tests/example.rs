//! The example in the repository: its parts agree with each other, so that a fresh checkout works.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use model::Config;
use model::config::{ContainerImageSource, Overrides, Sources};
use serde_json::Value;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(name: &str) -> String {
    std::fs::read_to_string(repository().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn web_port() -> String {
    let value = read(".env").lines().find_map(|line| line.strip_prefix("WEB_PORT=").map(str::to_owned));
    value.expect(".env sets WEB_PORT")
}

fn config() -> Config {
    let (name, web_port) = (".k3s-vm/config.toml", web_port());
    let text = read(name);
    let overrides = Overrides::default();
    let sources = Sources { file: Some((name, &text)), overrides: &overrides, web_port: Some((&web_port, ".env")) };
    Config::resolve(sources).unwrap().config
}

fn manifest(kind: &str) -> Value {
    let list: Value = serde_json::from_str(&read(".k3s-vm/manifests/base.json")).unwrap();
    assert_eq!(list["kind"], "List");
    let items = list["items"].as_array().unwrap();
    items.iter().find(|item| item["kind"] == kind).unwrap_or_else(|| panic!("no {kind}")).clone()
}

/// Editors read the published schema; it is written by `k3s-vm config schema`.
#[test]
fn the_published_schema_is_that_of_the_program() {
    let published: Value = serde_json::from_str(&read(".k3s-vm/config.schema.json")).unwrap();
    assert_eq!(
        published,
        model::config::schema::schema(),
        "run: bin/k3s-vm config schema > .k3s-vm/config.schema.json"
    );
}

#[test]
fn the_service_answers_on_the_web_port() {
    let ports = &manifest("Service")["spec"]["ports"];
    assert_eq!(ports[0]["nodePort"].to_string(), web_port());
    assert_eq!(config().ports.web.number().to_string(), web_port());
}

#[test]
fn the_deployment_runs_the_image_that_the_configuration_packs() {
    let deployment = manifest("Deployment");
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let config = config();
    assert_eq!(config.images.len(), 1);
    assert_eq!(container["image"], config.images[0].name.as_str());
    let ContainerImageSource::Files { files, entrypoint } = &config.images[0].source else { panic!("not files") };
    assert!(files.contains_key(&entrypoint[0]), "the program {entrypoint:?} is among {files:?}");
    let build = config.images[0].build.as_deref().unwrap();
    for source in files.values() {
        assert!(build.contains(source), "`{build}` makes {source}");
    }
}

#[test]
fn the_volume_of_the_deployment_is_claimed() {
    let deployment = manifest("Deployment");
    let volume = &deployment["spec"]["template"]["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"];
    assert_eq!(*volume, manifest("PersistentVolumeClaim")["metadata"]["name"]);
    // Two pods cannot share the volume, so an update must not overlap.
    assert_eq!(deployment["spec"]["strategy"]["type"], "Recreate");
}

#[test]
fn labels_lead_from_the_service_to_the_pods() {
    let deployment = manifest("Deployment");
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    assert_eq!(manifest("Service")["spec"]["selector"], *labels);
    assert_eq!(deployment["spec"]["selector"]["matchLabels"], *labels);
}
