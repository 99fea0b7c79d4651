//! Pruning: objects that have left the manifests are deleted, and no others.

use cluster::{ApplyOptions, ApplyOutcome, ApplySet, PART_OF_LABEL, PruneOutcome};
use model::event::Silent;
use serde_json::{Value, json};

use crate::apply::{WEB, objects, told};
use crate::mock_api::{MockApi, status};

const LIST: &str = "/api/v1/namespaces/default/configmaps/k3s-vm-applied";

fn set() -> ApplySet {
    ApplySet::new("k3s-vm-applied", "default")
}

fn options() -> ApplyOptions {
    ApplyOptions { set: Some(set()), ..ApplyOptions::default() }
}

fn apply(api: &MockApi, text: &str) -> model::Result<ApplyOutcome> {
    api.client().apply(&objects(text), &options(), &Silent)
}

fn pruned(outcome: &ApplyOutcome) -> String {
    let row = |one: &cluster::Pruned| {
        let namespace = one.namespace.as_deref().unwrap_or("-");
        format!("{} {namespace} {} {:?}\n", one.kind, one.name, one.outcome)
    };
    outcome.pruned.iter().map(row).collect()
}

/// The list in the cluster.
fn list(api: &MockApi) -> String {
    let state = api.state();
    state.objects.get(LIST).map_or("none".to_owned(), |list| list["data"]["objects"].as_str().unwrap().to_owned())
}

/// `WEB` without the documents that have one of `kinds`.
fn without(kinds: &[&str]) -> String {
    let documents = WEB.split("---\n");
    let kept = documents.filter(|document| !kinds.iter().any(|kind| document.contains(&format!("kind: {kind}\n"))));
    kept.collect::<Vec<_>>().join("---\n")
}

#[test]
fn a_departed_object_is_deleted_and_removed_from_the_list() {
    let api = MockApi::start();
    assert_eq!(apply(&api, WEB).unwrap().pruned, []);
    insta::assert_snapshot!(list(&api), @r"
    apps/v1 Deployment shop web
    v1 ConfigMap default settings
    v1 Namespace - shop
    v1 Service shop web
    ");
    let outcome = apply(&api, &without(&["ConfigMap", "Deployment"])).unwrap();
    insta::assert_snapshot!(pruned(&outcome), @r"
    Deployment shop web Deleted
    ConfigMap default settings Deleted
    ");
    insta::assert_snapshot!(list(&api), @r"
    v1 Namespace - shop
    v1 Service shop web
    ");
    let state = api.state();
    assert!(!state.objects.keys().any(|path| path.contains("deployments") || path.ends_with("settings")));
}

#[test]
fn members_and_list_carry_the_marks_of_an_apply_set() {
    let api = MockApi::start();
    apply(&api, WEB).unwrap();
    let state = api.state();
    let service = &state.objects["/api/v1/namespaces/shop/services/web"];
    assert_eq!(service["metadata"]["labels"][PART_OF_LABEL], set().id());
    assert_eq!(state.objects[LIST]["metadata"]["labels"]["applyset.kubernetes.io/id"], set().id());
}

#[test]
fn an_apply_without_news_does_not_write_the_list() {
    let api = MockApi::start();
    apply(&api, WEB).unwrap();
    api.state().requests.clear();
    apply(&api, WEB).unwrap();
    let state = api.state();
    assert_eq!((state.paths("PUT"), state.paths("POST")), (vec![], vec![]));
    assert_eq!(state.paths("GET").iter().filter(|path| *path == LIST).count(), 1);
}

#[test]
fn namespaces_volumes_and_definitions_are_left_in_place_and_reported_each_time() {
    let api = MockApi::start();
    api.state().serve("v1", "persistentvolumeclaims", "PersistentVolumeClaim", true);
    let volume = "---\napiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data, namespace: shop}\n";
    let definition =
        "---\napiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: shops.example}\n";
    apply(&api, &format!("{WEB}{volume}{definition}")).unwrap();
    for _ in 0..2 {
        let outcome = apply(&api, &without(&["Namespace"])).unwrap();
        insta::allow_duplicates! {
            insta::assert_snapshot!(pruned(&outcome), @r#"
            PersistentVolumeClaim shop data Kept("its contents would be deleted, too; by hand: k3s-vm kubectl delete persistentvolumeclaim data -n shop")
            CustomResourceDefinition - shops.example Kept("its contents would be deleted, too; by hand: k3s-vm kubectl delete customresourcedefinition shops.example")
            Namespace - shop Kept("its contents would be deleted, too; by hand: k3s-vm kubectl delete namespace shop")
            "#);
        }
    }
    let deletions = api.state().paths("DELETE");
    assert_eq!(deletions, Vec::<String>::new());
}

#[test]
fn an_object_without_the_label_is_released() {
    let api = MockApi::start();
    apply(&api, WEB).unwrap();
    let path = "/api/v1/namespaces/default/configmaps/settings";
    api.state().objects.get_mut(path).unwrap()["metadata"]["labels"] = json!({});
    let outcome = apply(&api, &without(&["ConfigMap"])).unwrap();
    insta::assert_snapshot!(pruned(&outcome), @r#"ConfigMap default settings Kept("it does not carry this project's label")"#);
    assert!(api.state().objects.contains_key(path));
    assert!(!list(&api).contains("settings"), "it is no member any more");
}

#[test]
fn objects_that_were_never_applied_are_never_deleted() {
    let api = MockApi::start();
    let stranger = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "stranger",
        "labels": {PART_OF_LABEL: set().id()}}});
    api.state().objects.insert("/api/v1/namespaces/default/configmaps/stranger".to_owned(), stranger);
    apply(&api, WEB).unwrap();
    let outcome = apply(&api, &without(&["Deployment"])).unwrap();
    assert_eq!(outcome.pruned.len(), 1);
    assert!(api.state().objects.keys().any(|path| path.ends_with("stranger")), "the label alone is not enough");
}

#[test]
fn objects_that_are_gone_already_are_not_reported() {
    let api = MockApi::start();
    apply(&api, WEB).unwrap();
    api.state().objects.remove("/api/v1/namespaces/default/configmaps/settings");
    assert_eq!(apply(&api, &without(&["ConfigMap"])).unwrap().pruned, []);
    assert!(!list(&api).contains("settings"));
}

#[test]
fn an_empty_set_deletes_all_that_can_be() {
    let api = MockApi::start();
    apply(&api, WEB).unwrap();
    insta::assert_snapshot!(pruned(&apply(&api, "").unwrap()), @r#"
    Deployment shop web Deleted
    ConfigMap default settings Deleted
    Service shop web Deleted
    Namespace - shop Kept("its contents would be deleted, too; by hand: k3s-vm kubectl delete namespace shop")
    "#);
    assert_eq!(list(&api), "v1 Namespace - shop\n");
}

#[test]
fn no_prune_leaves_objects_and_list_for_a_later_apply() {
    let api = MockApi::start();
    apply(&api, WEB).unwrap();
    let less = without(&["ConfigMap"]);
    let kept = api.client().apply(&objects(&less), &ApplyOptions { prune: false, ..options() }, &Silent).unwrap();
    assert_eq!(kept.pruned[0].outcome, PruneOutcome::Kept("--no-prune".to_owned()));
    assert_eq!(apply(&api, &less).unwrap().pruned[0].outcome, PruneOutcome::Deleted);
}

#[test]
fn a_refused_apply_deletes_nothing_and_forgets_nothing() {
    let api = MockApi::start();
    apply(&api, WEB).unwrap();
    let denied = status(403, "Forbidden", "no", json!({}));
    api.state().script("PATCH /api/v1/namespaces/shop/services/web", 403, denied);
    let new = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: new}\n";
    apply(&api, &format!("{}{new}", without(&["ConfigMap"]))).unwrap_err();
    assert_eq!(api.state().paths("DELETE"), Vec::<String>::new());
    let list = list(&api);
    assert!(list.contains("settings") && list.contains(" new\n"), "old and new members: {list}");
}

#[test]
fn an_apply_that_is_cut_off_forgets_nothing_whenever_that_is() {
    for requests in 0.. {
        let api = MockApi::start();
        apply(&api, WEB).unwrap();
        let before: Vec<String> = list(&api).lines().map(str::to_owned).collect();
        api.state().go_away_after(requests);
        let new = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: new}\n";
        let ended = apply(&api, &format!("{}{new}", without(&["ConfigMap", "Deployment"])));
        if ended.is_ok() {
            assert!(requests > 5, "the server never went away");
            break;
        }
        let (list, state) = (list(&api), api.state());
        for (path, name) in [
            ("/api/v1/namespaces/default/configmaps/new", "v1 ConfigMap default new"),
            ("/api/v1/namespaces/default/configmaps/settings", "v1 ConfigMap default settings"),
            ("/apis/apps/v1/namespaces/shop/deployments/web", "apps/v1 Deployment shop web"),
        ] {
            if state.objects.contains_key(path) {
                assert!(list.lines().any(|line| line == name), "{name} is lost after {requests} requests: {list}");
            }
        }
        assert!(!before.is_empty());
    }
}

#[test]
fn a_refused_deletion_is_reported_and_retried() {
    let api = MockApi::start();
    apply(&api, WEB).unwrap();
    let denied = status(403, "Forbidden", "configmaps \"settings\" is forbidden", json!({}));
    api.state().script_times(1, "DELETE /api/v1/namespaces/default/configmaps/settings", 403, denied);
    let less = without(&["ConfigMap", "Deployment"]);
    insta::assert_snapshot!(told(&apply(&api, &less).unwrap_err()), @r#"
    an object that has left the manifests could not be deleted
      configmap default/settings: configmaps "settings" is forbidden
      all objects of the manifests are applied
      > k3s-vm apply --no-prune    # leaves such objects alone
    "#);
    insta::assert_snapshot!(pruned(&apply(&api, &less).unwrap()), @"ConfigMap default settings Deleted");
}

#[test]
fn the_list_may_be_in_a_namespace_that_the_manifests_make() {
    let api = MockApi::start();
    let missing =
        status(404, "NotFound", "namespaces \"shop\" not found", json!({"name": "shop", "kind": "namespaces"}));
    api.state().script_times(1, "POST /api/v1/namespaces/shop/configmaps", 404, missing);
    let options = ApplyOptions { set: Some(ApplySet::new("k3s-vm-applied-shop", "shop")), ..options() };
    api.client().apply(&objects(WEB), &options, &Silent).unwrap();
    let state = api.state();
    assert!(state.objects.contains_key("/api/v1/namespaces/shop/configmaps/k3s-vm-applied-shop"));
    let order: Vec<&String> = state.requests.iter().filter(|request| !request.starts_with("GET")).collect();
    let at = |what: &str| order.iter().rposition(|request| request.contains(what)).unwrap();
    assert!(at("namespaces/shop?") < at("POST") && at("POST") < at("services/web"), "{order:?}");
}

#[test]
fn an_object_of_another_project_is_taken_over_only_by_force() {
    let api = MockApi::start();
    apply(&api, WEB).unwrap();
    let other = ApplyOptions { set: Some(ApplySet::new("k3s-vm-applied-b", "default")), ..options() };
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\n";
    for options in [other.clone(), ApplyOptions { set: None, ..options() }] {
        let error = api.client().apply(&objects(text), &options, &Silent).unwrap_err();
        insta::allow_duplicates! {
            insta::assert_snapshot!(told(&error), @r"
            the cluster refused an object of the manifests
              web.yaml:1: configmap settings: another project applies it: it is labelled applyset.kubernetes.io/part-of=applyset-7g9BK0T0ENEGMeugzQrSMsWZDjk3HYRiPElHfUnH7gg-v1
              0 of 1 objects were applied
              > k3s-vm apply --force-conflicts    # takes it over
            ");
        }
    }
    let force = ApplyOptions { force: true, ..other };
    api.client().apply(&objects(text), &force, &Silent).unwrap();
    let label = api.state().objects["/api/v1/namespaces/default/configmaps/settings"]["metadata"]["labels"].clone();
    assert_eq!(label[PART_OF_LABEL], ApplySet::new("k3s-vm-applied-b", "default").id());
}

#[test]
fn a_list_that_another_apply_has_changed_meanwhile_is_reported() {
    let api = MockApi::start();
    apply(&api, WEB).unwrap();
    let conflict = status(409, "Conflict", "the object has been modified", json!({}));
    api.state().script(&format!("PUT {LIST}"), 409, conflict);
    insta::assert_snapshot!(told(&apply(&api, &without(&["ConfigMap"])).unwrap_err()), @r"
    the list of applied objects (configmap default/k3s-vm-applied) cannot be written
      the object has been modified
      another apply of the same project has written it meanwhile
      > k3s-vm apply
    ");
}

#[test]
fn a_list_that_is_not_ours_is_left_alone() {
    let api = MockApi::start();
    api.state().objects.insert(
        LIST.to_owned(),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "k3s-vm-applied"}}),
    );
    insta::assert_snapshot!(told(&apply(&api, WEB).unwrap_err()), @r"
    the list of applied objects (configmap default/k3s-vm-applied) is not one that can be used
      it has no annotation applyset.kubernetes.io/tooling
      > k3s-vm kubectl delete configmap k3s-vm-applied -n default    # forgets what was applied
    ");
    assert_eq!(api.state().objects.len(), 1);
}

#[test]
fn objects_of_a_version_that_is_no_longer_served_are_found_by_another() {
    let api = MockApi::start();
    api.state().serve("example.com/v1beta1", "shops", "Shop", true);
    apply(&api, "apiVersion: example.com/v1beta1\nkind: Shop\nmetadata: {name: s}\n").unwrap();
    {
        let mut state = api.state();
        let shop: Value = state.objects.remove("/apis/example.com/v1beta1/namespaces/default/shops/s").unwrap();
        state.objects.insert("/apis/example.com/v1/namespaces/default/shops/s".to_owned(), shop);
        state.withdraw("example.com/v1beta1");
        state.serve("example.com/v1", "shops", "Shop", true);
        let group = json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": [{"name": "example.com",
            "versions": [{"groupVersion": "example.com/v1", "version": "v1"}],
            "preferredVersion": {"groupVersion": "example.com/v1", "version": "v1"}}]});
        state.script("GET /apis", 200, group);
    }
    insta::assert_snapshot!(pruned(&apply(&api, WEB).unwrap()), @"Shop default s Deleted");
}
