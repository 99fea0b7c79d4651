//! The list of members as the cluster has it, and the members that have left.

use super::*;
use crate::manifest::Origin;

fn member(line: &str) -> Member {
    Member::parse(line).unwrap()
}

fn members(lines: &[&str]) -> BTreeSet<Member> {
    lines.iter().map(|line| member(line)).collect()
}

#[test]
fn the_identity_has_the_format_of_an_apply_set_and_fits_a_label() {
    let id = ApplySet::new("k3s-vm-applied", "default").id();
    insta::assert_snapshot!(id, @"applyset-7g9BK0T0ENEGMeugzQrSMsWZDjk3HYRiPElHfUnH7gg-v1");
    assert!(id.len() <= 63, "{id}");
    assert_ne!(id, ApplySet::new("k3s-vm-applied", "shop").id());
    assert_ne!(id, ApplySet::new("k3s-vm-applied-shop", "default").id());
}

#[test]
fn the_list_is_read_back_as_written() {
    let set = ApplySet::new("k3s-vm-applied", "default");
    let members = members(&[
        "v1 Namespace - shop",
        "apps/v1 Deployment shop web",
        "v1 ConfigMap default settings",
        "rbac.authorization.k8s.io/v1 ClusterRole - system:web",
    ]);
    let document = set.document(&members, Some("17"));
    insta::assert_snapshot!(crate::yaml::write(&document), @r#"
    apiVersion: v1
    kind: ConfigMap
    metadata:
      name: k3s-vm-applied
      namespace: default
      resourceVersion: "17"
      labels:
        applyset.kubernetes.io/id: applyset-7g9BK0T0ENEGMeugzQrSMsWZDjk3HYRiPElHfUnH7gg-v1
      annotations:
        applyset.kubernetes.io/tooling: k3s-vm/v0.1.0
        applyset.kubernetes.io/contains-group-kinds: ClusterRole.rbac.authorization.k8s.io,ConfigMap,Deployment.apps,Namespace
        applyset.kubernetes.io/additional-namespaces: shop
    data:
      objects: "apps/v1 Deployment shop web\nrbac.authorization.k8s.io/v1 ClusterRole - system:web\nv1 ConfigMap default settings\nv1 Namespace - shop\n"
    "#);
    let read = Inventory::read(&document).unwrap();
    assert_eq!(read, Inventory { members, version: Some("17".to_owned()) });
}

#[test]
fn a_list_that_is_not_ours_is_refused() {
    for (document, why) in [
        (json!({"data": {"objects": ""}}), "it has no annotation applyset.kubernetes.io/tooling"),
        (json!({"metadata": {"annotations": {TOOLING: "kubectl/v1.37.2"}}}), "it belongs to kubectl/v1.37.2"),
        (
            json!({"metadata": {"annotations": {TOOLING: "k3s-vm/v9.0.0"}}, "data": {"objects": "v1 ConfigMap\n"}}),
            "its line \"v1 ConfigMap\" names no object",
        ),
    ] {
        assert_eq!(Inventory::read(&document), Err(why.to_owned()));
    }
}

#[test]
fn departed_members_are_in_the_reverse_order_of_the_waves() {
    let previous = members(&[
        "v1 Namespace - shop",
        "v1 ConfigMap shop settings",
        "apps/v1 Deployment shop web",
        "apps/v1beta1 Deployment shop api",
        "admissionregistration.k8s.io/v1 ValidatingWebhookConfiguration - hook",
    ]);
    let wanted = members(&["apps/v1 Deployment shop api", "v1 ConfigMap default settings"]);
    let left: Vec<String> = departed(&previous, &wanted).iter().map(Member::to_string).collect();
    assert_eq!(
        left,
        ["validatingwebhookconfiguration hook", "deployment shop/web", "configmap shop/settings", "namespace shop"]
    );
}

#[test]
fn kinds_whose_deletion_deletes_more_are_known() {
    for (line, expected) in [
        ("v1 Namespace - shop", true),
        ("v1 PersistentVolumeClaim shop data", true),
        ("v1 PersistentVolume - data", true),
        ("apiextensions.k8s.io/v1 CustomResourceDefinition - shops.example", true),
        ("v1 Secret shop web-env", false),
        ("apps/v1 StatefulSet shop db", false),
        ("example.com/v1 Namespace - shop", false),
    ] {
        assert_eq!(member(line).holds_others(), expected, "{line}");
    }
}

#[test]
fn the_label_leaves_other_labels_unchanged() {
    let set = ApplySet::new("a", "b");
    for (metadata, expected) in [
        (json!({"name": "x"}), json!({PART_OF_LABEL: set.id()})),
        (json!({"name": "x", "labels": null}), json!({PART_OF_LABEL: set.id()})),
        (json!({"name": "x", "labels": {"app": "web"}}), json!({"app": "web", PART_OF_LABEL: set.id()})),
    ] {
        let value = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata});
        let object = ManifestObject::new(value, Origin { file: "t".to_owned(), line: 1 }).unwrap();
        assert_eq!(with_label(&[object], Some(&set))[0].value()["metadata"]["labels"], expected);
    }
}
