//! Server-side apply: the requests, their order, and the messages.

use std::time::Duration;

use cluster::manifest::{ManifestText, parse};
use cluster::{Applied, ApplyOptions, ManifestObject};
use model::event::Silent;
use model::{Error, ErrorClass};
use serde_json::json;

use crate::mock_api::{MockApi, status};

pub(crate) const WEB: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {replicas: 1}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop}
";

pub(crate) fn objects(text: &str) -> Vec<ManifestObject> {
    parse(&[ManifestText { file: "web.yaml".to_owned(), text: text.to_owned() }]).unwrap()
}

fn apply(api: &MockApi, text: &str) -> model::Result<Vec<Applied>> {
    api.client().apply(&objects(text), &ApplyOptions::default(), &Silent).map(|outcome| outcome.applied)
}

pub(crate) fn table(applied: &[Applied]) -> String {
    let row = |one: &Applied| {
        let namespace = one.namespace.as_deref().unwrap_or("-");
        format!("{} {} {namespace} {} {:?}\n", one.api_version, one.kind, one.name, one.change)
    };
    applied.iter().map(row).collect()
}

pub(crate) fn told(error: &Error) -> String {
    let mut text = format!("{}\n", error.what());
    for why in error.why() {
        text += &format!("  {why}\n");
    }
    for step in error.next_steps() {
        text += &format!("  > {step}\n");
    }
    text
}

#[test]
fn created_then_unchanged_then_only_the_changed_one_is_configured() {
    let api = MockApi::start();
    insta::assert_snapshot!(table(&apply(&api, WEB).unwrap()), @r#"
    v1 Namespace - shop Created
    v1 Service shop web Created
    v1 ConfigMap default settings Created
    apps/v1 Deployment shop web Created
    "#);
    insta::assert_snapshot!(table(&apply(&api, WEB).unwrap()), @r#"
    v1 Namespace - shop Unchanged
    v1 Service shop web Unchanged
    v1 ConfigMap default settings Unchanged
    apps/v1 Deployment shop web Unchanged
    "#);
    insta::assert_snapshot!(table(&apply(&api, &WEB.replace("replicas: 1", "replicas: 2")).unwrap()), @r#"
    v1 Namespace - shop Unchanged
    v1 Service shop web Unchanged
    v1 ConfigMap default settings Unchanged
    apps/v1 Deployment shop web Configured
    "#);
    let deployment = &api.state().objects["/apis/apps/v1/namespaces/shop/deployments/web"];
    assert_eq!(deployment["spec"]["replicas"], 2);
}

#[test]
fn waves_are_sent_one_after_another_with_the_field_manager_and_strict_fields() {
    let api = MockApi::start();
    apply(&api, WEB).unwrap();
    let state = api.state();
    let sent = state.paths("PATCH");
    assert_eq!(sent.first().unwrap(), "/api/v1/namespaces/shop");
    assert_eq!(sent.last().unwrap(), "/apis/apps/v1/namespaces/shop/deployments/web");
    assert!(sent.contains(&"/api/v1/namespaces/default/configmaps/settings".to_owned()), "{sent:?}");
    let patches = state.requests.iter().filter(|request| request.starts_with("PATCH "));
    for request in patches {
        assert!(request.contains("fieldManager=k3s-vm") && request.contains("fieldValidation=Strict"), "{request}");
        assert!(!request.contains("force"), "{request}");
    }
}

#[test]
fn force_is_sent_when_asked_for() {
    let api = MockApi::start();
    let options = ApplyOptions { force: true, ..ApplyOptions::default() };
    api.client().apply(&objects(WEB), &options, &Silent).unwrap();
    let state = api.state();
    let patches: Vec<&String> = state.requests.iter().filter(|request| request.starts_with("PATCH ")).collect();
    assert!(patches.len() == 4 && patches.iter().all(|request| request.contains("force=true")), "{patches:?}");
}

#[test]
fn fifty_objects_without_news_cost_fifty_requests_and_few_more() {
    let api = MockApi::start();
    let many: String = (0..50)
        .map(|index| format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c{index}}}\ndata: {{a: b}}\n"))
        .collect();
    apply(&api, &many).unwrap();
    api.state().requests.clear();
    let applied = apply(&api, &many).unwrap();
    assert!(applied.iter().all(|one| one.change == cluster::Change::Unchanged));
    let names: Vec<&str> = applied.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, (0..50).map(|index| format!("c{index}")).collect::<Vec<_>>(), "in the order of the file");
    // One request for the kinds, one list.
    assert_eq!(api.state().requests.len(), 52);
}

#[test]
fn all_refused_objects_are_reported_and_later_waves_are_only_checked() {
    let api = MockApi::start();
    api.state().script(
        "PATCH /api/v1/namespaces/shop/services/web",
        409,
        status(
            409,
            "Conflict",
            "Apply failed",
            json!({"causes": [
                {"reason": "FieldManagerConflict", "field": ".spec.ports", "message": "conflict with \"kubectl-edit\" using v1"}
            ]}),
        ),
    );
    api.state().script(
        "PATCH /api/v1/namespaces/default/configmaps/settings",
        500,
        status(500, "InternalError", "database is locked", json!({})),
    );
    let late = "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: late, namespace: shop}\n";
    api.state().script(
        "PATCH /apis/apps/v1/namespaces/shop/deployments/late",
        422,
        status(422, "Invalid", "late is invalid", json!({})),
    );
    let error = apply(&api, &format!("{WEB}{late}")).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Cluster);
    insta::assert_snapshot!(told(&error), @r"
    the cluster refused 3 objects of the manifests
      web.yaml:7: service shop/web: others have set fields that the manifest sets too: .spec.ports belongs to kubectl-edit
      web.yaml:11: configmap settings: database is locked (HTTP status 500)
      web.yaml:19: deployment shop/late: late is invalid
      1 of 5 objects were applied
      > k3s-vm apply --force-conflicts    # takes the fields over; or take them out of the manifests
    ");
    let state = api.state();
    let deployment = |request: &&String| request.starts_with("PATCH ") && request.contains("/deployments/web");
    let sent: Vec<&String> = state.requests.iter().filter(deployment).collect();
    assert!(sent.len() == 1 && sent[0].contains("dryRun=All"), "{sent:?}");
    assert!(!state.objects.keys().any(|path| path.contains("deployments")));
}

#[test]
fn an_immutable_field_is_reported() {
    let api = MockApi::start();
    api.state().script(
        "PATCH /apis/apps/v1/namespaces/shop/deployments/web",
        422,
        status(
            422,
            "Invalid",
            "Deployment.apps \"web\" is invalid",
            json!({"causes": [
                {"reason": "FieldValueInvalid", "field": "spec.selector", "message": "Invalid value: {}: field is immutable"}
            ]}),
        ),
    );
    insta::assert_snapshot!(told(&apply(&api, WEB).unwrap_err()), @r"
    the cluster refused an object of the manifests
      web.yaml:2: deployment shop/web: spec.selector cannot change once the object is there
      3 of 4 objects were applied
      > k3s-vm kubectl delete deployment web -n shop && k3s-vm apply    # recreates it
    ");
}

#[test]
fn a_missing_namespace_is_reported() {
    let api = MockApi::start();
    api.state().script(
        "PATCH /api/v1/namespaces/shop/services/web",
        404,
        status(404, "NotFound", "namespaces \"shop\" not found", json!({"name": "shop", "kind": "namespaces"})),
    );
    let error = apply(&api, "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\n").unwrap_err();
    insta::assert_snapshot!(told(&error), @r"
    the cluster refused an object of the manifests
      web.yaml:1: service shop/web: the namespace shop does not exist
      0 of 1 objects were applied
      > k3s-vm kubectl create namespace shop    # or add a Namespace of this name to the manifests
    ");
}

#[test]
fn unknown_kinds_are_reported_before_anything_is_sent() {
    let api = MockApi::start();
    let text = format!(
        "{WEB}---\napiVersion: shop.example/v1\nkind: Shop\nmetadata: {{name: s}}\n---\napiVersion: apps/v1\nkind: Deploymnt\n\
         metadata: {{name: typo}}\n"
    );
    insta::assert_snapshot!(told(&apply(&api, &text).unwrap_err()), @r#"
    the cluster refused 2 objects of the manifests
      web.yaml:19: shop s: the cluster does not know the kind Shop of shop.example/v1
      web.yaml:23: deploymnt typo: the cluster knows apps/v1, but no kind Deploymnt in it
      0 of 6 objects were applied
      > k3s-vm kubectl api-resources    # lists the kinds; a custom kind needs its CustomResourceDefinition in the manifests
    "#);
    assert_eq!(api.state().paths("PATCH"), Vec::<String>::new());
}

const DEFINITION: &str = "
apiVersion: shop.example/v1
kind: Shop
metadata: {name: s}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: shops.shop.example}
spec: {group: shop.example, names: {kind: Shop, plural: shops}}
";

#[test]
fn an_object_of_a_kind_that_the_manifests_define_waits_until_it_is_served() {
    let api = MockApi::start();
    api.state().serve_after(3, "shop.example/v1", "shops", "Shop", true);
    insta::assert_snapshot!(table(&apply(&api, DEFINITION).unwrap()), @r#"
    apiextensions.k8s.io/v1 CustomResourceDefinition - shops.shop.example Created
    shop.example/v1 Shop default s Created
    "#);
    let asked = api.state().paths("GET").iter().filter(|path| *path == "/apis/shop.example/v1").count();
    assert!(asked >= 4, "asked {asked} times");
}

#[test]
fn a_kind_that_is_never_served_is_a_timeout_that_names_it() {
    let api = MockApi::start();
    let options = ApplyOptions { deadline: Duration::from_millis(600), ..ApplyOptions::default() };
    let error = api.client().apply(&objects(DEFINITION), &options, &Silent).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Timeout);
    assert!(error.to_string().contains("Shop of shop.example/v1 is not served yet"), "{error}");
}

#[test]
fn a_server_of_another_authority_gets_nothing() {
    let (api, other) = (MockApi::start(), MockApi::start());
    let client = cluster::ClusterClient::new(&api.kubeconfig_of(&other)).unwrap();
    let error = client.apply(&objects(WEB), &ApplyOptions::default(), &Silent).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Port);
    insta::assert_snapshot!(api.without_port(&told(&error)), @r#"
    another cluster answers on https://127.0.0.1:PORT
      its certificate is signed by another authority
      > k3s-vm status    # shows who holds the port
    "#);
    assert!(api.state().requests.is_empty());
}
