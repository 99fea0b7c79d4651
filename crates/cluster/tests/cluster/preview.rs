//! Previews: changes are reported and nothing is written.

use cluster::image_annotation::{IMAGES_ANNOTATION, annotate};
use cluster::{ApplyOptions, ApplySet, Preview, PreviewOptions, PruneOutcome};
use model::event::Silent;
use serde_json::json;

use crate::apply::{WEB, objects, told};
use crate::mock_api::{MockApi, status};

fn options() -> ApplyOptions {
    ApplyOptions { set: Some(ApplySet::new("k3s-vm-applied", "default")), ..ApplyOptions::default() }
}

fn preview(api: &MockApi, text: &str) -> model::Result<Preview> {
    api.client().preview(&objects(text), &options(), &PreviewOptions::default(), &Silent)
}

/// Checks that `work` changes no object and sends only reads and dry runs.
fn untouched<T>(api: &MockApi, work: impl FnOnce() -> T) -> T {
    let before = api.state().objects.clone();
    api.state().requests.clear();
    let done = work();
    let state = api.state();
    assert_eq!(state.objects, before);
    for request in &state.requests {
        assert!(request.starts_with("GET ") || request.contains("dryRun=All"), "{request}");
    }
    done
}

fn shown(preview: &Preview) -> String {
    let mut text = String::new();
    for one in &preview.objects {
        text += &format!("{} {} {:?}\n{}", one.applied.kind, one.applied.name, one.applied.change, one.diff);
    }
    for one in &preview.pruned {
        text += &format!("{} {} {:?}\n", one.kind, one.name, one.outcome);
    }
    text
}

#[test]
fn changed_new_and_departed_objects_are_shown_and_nothing_is_written() {
    let api = MockApi::start();
    api.client().apply(&objects(WEB), &options(), &Silent).unwrap();
    let new = "---\napiVersion: v1\nkind: Secret\nmetadata: {name: new}\ndata: {password: c2VjcmV0}\n";
    let text =
        WEB.replace("replicas: 1", "replicas: 2").replace("kind: ConfigMap\nmetadata: {name: settings}", "") + new;
    let text = text.replace("---\napiVersion: v1\n\n", "");
    let preview = untouched(&api, || preview(&api, &text).unwrap());
    insta::assert_snapshot!(shown(&preview), @r#"
    Namespace shop Unchanged
    Service web Unchanged
    Secret new Created
    --- secret default/new (in the cluster)
    +++ secret default/new (after apply)
    @@ -0,0 +1,8 @@
    +apiVersion: v1
    +data:
    +  password: "***"
    +kind: Secret
    +metadata:
    +  labels:
    +    applyset.kubernetes.io/part-of: applyset-7g9BK0T0ENEGMeugzQrSMsWZDjk3HYRiPElHfUnH7gg-v1
    +  name: new
    Deployment web Configured
    --- deployment shop/web (in the cluster)
    +++ deployment shop/web (after apply)
    @@ -6,4 +6,4 @@
       name: web
       namespace: shop
     spec:
    -  replicas: 1
    +  replicas: 2
    ConfigMap settings Deleted
    "#);
}

#[test]
fn an_empty_cluster_shows_new_objects() {
    let api = MockApi::start();
    let missing =
        status(404, "NotFound", "namespaces \"shop\" not found", json!({"name": "shop", "kind": "namespaces"}));
    for path in ["/api/v1/namespaces/shop/services/web", "/apis/apps/v1/namespaces/shop/deployments/web"] {
        api.state().script(&format!("PATCH {path}"), 404, missing.clone());
    }
    let custom = "
---
apiVersion: shop.example/v1
kind: Shop
metadata: {name: s}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: shops.shop.example}
spec: {group: shop.example, scope: Namespaced, names: {kind: Shop, plural: shops}}
";
    let preview = untouched(&api, || preview(&api, &format!("{WEB}{custom}")).unwrap());
    let changes: Vec<String> = preview
        .objects
        .iter()
        .map(|one| format!("{} {:?} {:?}", one.applied.kind, one.applied.namespace, one.applied.change))
        .collect();
    assert_eq!(
        changes,
        [
            "Namespace None Created",
            "CustomResourceDefinition None Created",
            "Service Some(\"shop\") Created",
            "ConfigMap Some(\"default\") Created",
            "Deployment Some(\"shop\") Created",
            "Shop Some(\"default\") Created",
        ]
    );
    assert!(preview.objects.iter().all(|one| one.diff.contains("@@ -0,0 ")));
}

#[test]
fn a_preview_fails_where_the_apply_would() {
    let api = MockApi::start();
    let missing =
        status(404, "NotFound", "namespaces \"shop\" not found", json!({"name": "shop", "kind": "namespaces"}));
    api.state().script("PATCH /api/v1/namespaces/shop/services/web", 404, missing);
    let error = untouched(&api, || {
        preview(&api, "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\n").unwrap_err()
    });
    insta::assert_snapshot!(told(&error), @r"
    the cluster refused an object of the manifests
      web.yaml:1: service shop/web: the namespace shop does not exist
      > k3s-vm kubectl create namespace shop    # or add a Namespace of this name to the manifests
    ");
}

#[test]
fn images_that_are_not_built_for_a_preview_count_as_unchanged() {
    let api = MockApi::start();
    let text = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec: {template: {spec: {containers: [{name: web, image: 'local/web:dev'}]}}}
";
    let name = "docker.io/local/web:dev".to_owned();
    let noted = annotate(objects(text), &[(name.clone(), "sha256:1".to_owned())]);
    assert!(noted[0].value().to_string().contains(IMAGES_ANNOTATION));
    api.client().apply(&noted, &options(), &Silent).unwrap();
    let with = |images| PreviewOptions { images, ..PreviewOptions::default() };
    let found = api.client().preview(&objects(text), &options(), &with(vec![name]), &Silent).unwrap();
    assert_eq!(found.objects[0].diff, "");
    let found = api.client().preview(&objects(text), &options(), &with(vec![]), &Silent).unwrap();
    assert!(found.objects[0].diff.contains(IMAGES_ANNOTATION), "{}", found.objects[0].diff);
}

#[test]
fn without_pruning_departed_objects_are_shown_as_left_in_place() {
    let api = MockApi::start();
    api.client().apply(&objects(WEB), &options(), &Silent).unwrap();
    let options = ApplyOptions { prune: false, ..options() };
    let found = api.client().preview(&[], &options, &PreviewOptions::default(), &Silent).unwrap();
    assert!(found.pruned.len() == 4 && found.pruned.iter().all(|one| one.outcome != PruneOutcome::Deleted));
}
