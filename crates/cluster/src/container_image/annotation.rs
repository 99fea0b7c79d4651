//! An annotation of pod templates with the digests of the loaded images that they use, so that pods restart when an
//! image of the same name has new content, and only then.
//!
//! Pure: objects in, objects out.

use host::digest::Sha256;
use serde_json::Value;

use super::name::ImageName;
use crate::manifest::ManifestObject;

/// The annotation of the pod template.
pub const IMAGES_ANNOTATION: &str = "k3s-vm.dev/images-sha256";

/// Annotates each Deployment with one hash of those loaded images (full name, digest) that its containers use.
pub fn annotate(objects: Vec<ManifestObject>, loaded: &[(String, String)]) -> Vec<ManifestObject> {
    objects
        .into_iter()
        .map(|mut object| {
            if object.kind() != "Deployment" {
                return object;
            }
            let mut used = used_by(object.value(), loaded);
            if used.is_empty() {
                return object;
            }
            used.sort_unstable();
            used.dedup();
            let hash = Sha256::of(used.join("\n").as_bytes());
            object.annotate_pod_template(IMAGES_ANNOTATION, &hash.to_string());
            object
        })
        .collect()
}

/// Copies the annotation of the Deployment `live` of the cluster to a Deployment that uses one of `images` (full
/// names): for a preview in which the content of these images counts as unchanged.
pub(crate) fn copy(object: &mut ManifestObject, live: &Value, images: &[String]) {
    let pointer = "/spec/template/metadata/annotations";
    let copied = live.pointer(pointer).and_then(|annotations| annotations.get(IMAGES_ANNOTATION)?.as_str());
    let names: Vec<(String, String)> = images.iter().map(|name| (name.clone(), String::new())).collect();
    if let Some(hash) = copied
        && object.is_deployment()
        && !used_by(object.value(), &names).is_empty()
    {
        object.annotate_pod_template(IMAGES_ANNOTATION, hash);
    }
}

/// `NAME@DIGEST` of the loaded images that a Deployment's containers and init containers name.
fn used_by(deployment: &Value, loaded: &[(String, String)]) -> Vec<String> {
    ["/spec/template/spec/containers", "/spec/template/spec/initContainers"]
        .iter()
        .filter_map(|list| deployment.pointer(list)?.as_array())
        .flatten()
        .filter_map(|container| ImageName::parse(container.get("image")?.as_str()?).ok())
        .filter_map(|image| loaded.iter().find(|(name, _)| name == image.as_str()))
        .map(|(name, digest)| format!("{name}@{digest}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{ManifestText, parse};

    fn deployment(image: &str) -> Vec<ManifestObject> {
        let text = format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web}}\nspec:\n  template:\n    spec:\n      \
             containers: [{{name: web, image: \"{image}\"}}]\n"
        );
        parse(&[ManifestText { file: "web.yaml".into(), text }]).expect("valid")
    }

    fn annotation(objects: &[ManifestObject]) -> Option<String> {
        let path = "/spec/template/metadata/annotations";
        Some(objects[0].value().pointer(path)?.get(IMAGES_ANNOTATION)?.as_str()?.to_owned())
    }

    fn loaded(digest: &str) -> Vec<(String, String)> {
        vec![("docker.io/local/web:dev".to_owned(), digest.to_owned())]
    }

    #[test]
    fn new_content_under_the_same_name_changes_the_template() {
        let first = annotation(&annotate(deployment("local/web:dev"), &loaded("sha256:1")));
        let same = annotation(&annotate(deployment("local/web:dev"), &loaded("sha256:1")));
        let other = annotation(&annotate(deployment("local/web:dev"), &loaded("sha256:2")));
        assert!(first.is_some());
        assert_eq!(first, same);
        assert_ne!(first, other);
    }

    #[test]
    fn a_deployment_of_other_images_stays_as_it_is() {
        let objects = deployment("nginx");
        assert_eq!(annotate(objects.clone(), &loaded("sha256:1")), objects);
    }
}
