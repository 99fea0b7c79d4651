//! Manifests that are read and refused, and the messages.

use super::*;
use crate::manifest::name_namespace;

fn file(name: &str, text: &str) -> ManifestText {
    ManifestText { file: name.to_owned(), text: text.to_owned() }
}

fn shown(objects: &[ManifestObject]) -> String {
    objects.iter().map(|object| format!("{} {object}\n", object.origin())).collect()
}

#[test]
fn documents_lists_and_both_formats_are_read_in_their_order() {
    let objects = parse(&[
        file(
            "base.json",
            r#"{"apiVersion": "v1", "kind": "List", "items": [
                {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}},
                {"apiVersion": "v1", "kind": "ConfigMapList", "items": [
                    {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "shop"}}
                ]}
            ]}"#,
        ),
        file(
            "web.yaml",
            "---\n# nothing here\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\n---\n\
             apiVersion: v1\nkind: Service\nmetadata: {name: web}\n",
        ),
        file("empty.yml", ""),
    ])
    .unwrap();
    insta::assert_snapshot!(shown(&objects), @r#"
    base.json:2 namespace shop
    base.json:3 configmap shop/a
    web.yaml:4 deployment web
    web.yaml:9 service web
    "#);
}

#[test]
fn numbers_are_those_of_kubectl() {
    let objects = parse(&[
        file("a.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nmode: 0644\nport: 1e3\n"),
        file(
            "b.json",
            r#"{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "b"}, "port": 80.0, "cpu": 0.5}"#,
        ),
    ])
    .unwrap();
    assert_eq!(objects[0].value()["mode"].to_string(), "420");
    assert_eq!(objects[0].value()["port"].to_string(), "1000");
    assert_eq!(objects[1].value()["port"].to_string(), "80");
    assert_eq!(objects[1].value()["cpu"].to_string(), "0.5");
}

#[test]
fn all_mistakes_of_all_files_are_reported_at_once() {
    let error = parse(&[
        file("base.json", "{\n  \"apiVersion\": \"v1\",\n  \"kind\": \"Service\"\n  \"metadata\": {}\n}"),
        file(
            "many.yaml",
            "kind: Service\nmetadata: {name: a}\n---\napiVersion: v1\nmetadata:\n  name: 7\n---\n- just\n- a list\n---\n\
             apiVersion: v1\nkind: Pod\nmetadata: {generateName: x-}\n---\napiVersion: v1\nkind: [Pod]\n\
             metadata: {name: x, namespace: true}\n---\na: b: c\n---\napiVersion: v1\nkind: Pod\nmetadata: text\n",
        ),
        file(
            "list.yaml",
            "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n- apiVersion: v1\n  kind: Pod\n  metadata: {name: ok}\n",
        ),
        file("twice.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: ok, namespace: default}\n"),
    ])
    .unwrap_err();
    assert_eq!(error.class(), ErrorClass::Config);
    insta::assert_snapshot!(format!("{}\n{}\n{}", error.what(), error.why().join("\n"), error.next_steps().join("\n")), @r#"
    the manifests have 10 mistakes
    base.json:4:3: expected `,` or `}`
    many.yaml:1: apiVersion is missing
    many.yaml:4: kind is missing, metadata.name is 7, not a text: quote it
    many.yaml:8: expected an object, found a list
    many.yaml:11: metadata.generateName gives a new object each time and cannot be applied: use metadata.name
    many.yaml:15: kind is a list, not a text, metadata.namespace is true, not a text: quote it
    many.yaml:19:5: mapping values are not allowed in this context
    many.yaml:21: metadata is a text, not an object
    list.yaml:4: metadata.name is missing
    twice.yaml:1: pod default/ok is also written at list.yaml:6
    correct the manifests, then: k3s-vm apply
    "#);
}

#[test]
fn a_program_made_object_is_checked_as_well() {
    let origin = Origin { file: "injected".to_owned(), line: 0 };
    let error = ManifestObject::new(serde_json::json!({"kind": "Secret"}), origin).unwrap_err();
    insta::assert_snapshot!(error.to_string(), @"injected is no object that can be applied: apiVersion is missing, metadata.name is missing");
}

#[test]
fn no_object_is_wanted_only_where_an_empty_list_says_so() {
    let empty = r#"{"apiVersion": "v1", "kind": "List", "items": []}"#;
    for (files, expected) in [
        (vec![file("a.json", empty)], true),
        (vec![file("a.yaml", "# gone\n"), file("b.yaml", "kind: List\nitems: []\n")], true),
        (vec![], false),
        (vec![file("a.yaml", "")], false),
        (vec![file("a.json", empty), file("b.yaml", "kind: Service\n")], false),
    ] {
        assert_eq!(want_nothing(&files), expected, "{files:?}");
    }
}

#[test]
fn deployments_and_secrets_get_the_namespace_that_they_do_not_name() {
    let text = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: b, namespace: own}\n\
                ---\napiVersion: v1\nkind: Namespace\nmetadata: {name: c}\n";
    let mut objects = parse(&[file("a.yaml", text)]).unwrap();
    name_namespace(&mut objects, "shop");
    let namespaces: Vec<Option<&str>> = objects.iter().map(ManifestObject::namespace).collect();
    assert_eq!(namespaces, [Some("shop"), Some("own"), None]);
}
