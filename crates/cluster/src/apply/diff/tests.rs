//! Diffs as users see them, and the secrets that must not be in them.

use serde_json::json;

use super::*;

const PLAIN: Masking = Masking { variables: false };

#[test]
fn only_changes_are_shown_and_no_fields_of_the_server() {
    let before = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "uid": "1", "resourceVersion": "7", "generation": 1, "managedFields": [{"manager": "x"}]},
        "spec": {"template": {"spec": {"containers": [{"image": "web:1", "name": "web"}]}}, "replicas": 1, "paused": false},
        "status": {"replicas": 1}
    });
    let mut after = before.clone();
    after["metadata"]["resourceVersion"] = "8".into();
    after["metadata"]["generation"] = 2.into();
    after["status"] = json!({});
    assert_eq!(unified("deployment web", Some(&before), &after, PLAIN), "");
    after["spec"]["replicas"] = 3.into();
    insta::assert_snapshot!(unified("deployment web", Some(&before), &after, PLAIN), @r"
    --- deployment web (in the cluster)
    +++ deployment web (after apply)
    @@ -4,7 +4,7 @@
       name: web
     spec:
       paused: false
    -  replicas: 1
    +  replicas: 3
       template:
         spec:
           containers:
    ");
}

#[test]
fn a_new_object_is_all_new() {
    let after =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "uid": "1"}, "data": {"k": "v"}});
    insta::assert_snapshot!(unified("configmap a", None, &after, PLAIN), @r"
    --- configmap a (in the cluster)
    +++ configmap a (after apply)
    @@ -0,0 +1,6 @@
    +apiVersion: v1
    +data:
    +  k: v
    +kind: ConfigMap
    +metadata:
    +  name: a
    ");
}

#[test]
fn values_of_secrets_are_never_shown() {
    let last = r#"{"data":{"a":"b2xk"}}"#;
    let secret = |data| {
        json!({"apiVersion": "v1", "kind": "Secret", "data": data,
               "metadata": {"name": "s", "annotations": {"kubectl.kubernetes.io/last-applied-configuration": last}}})
    };
    let before = secret(json!({"changed": "b2xk", "gone": "Z29uZQ==", "same": "c2FtZQ==", "a/b~c": "b2xk"}));
    let after = secret(json!({"changed": "bmV3", "new": "YWRkZWQ=", "same": "c2FtZQ==", "a/b~c": "bmV3"}));
    let text = unified("secret s", Some(&before), &after, PLAIN);
    for value in ["b2xk", "bmV3", "Z29uZQ", "c2FtZQ", "YWRkZWQ"] {
        assert!(!text.contains(value), "{value} in\n{text}");
    }
    insta::assert_snapshot!(text, @r#"
    --- secret s (in the cluster)
    +++ secret s (after apply)
    @@ -1,8 +1,8 @@
     apiVersion: v1
     data:
    -  a/b~c: "*** (before)"
    -  changed: "*** (before)"
    -  gone: "***"
    +  a/b~c: "*** (after)"
    +  changed: "*** (after)"
    +  new: "***"
       same: "***"
     kind: Secret
     metadata:
    "#);
}

#[test]
fn literal_variables_are_secrets_where_they_are_those_of_dot_env() {
    let deployment = |value| {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"template": {"spec":
            {"containers": [{"name": "web", "env": [{"name": "TOKEN", "value": value}, {"name": "POD", "valueFrom": {}}]}]}}}})
    };
    let (before, after) = (deployment("hunter1"), deployment("hunter2"));
    assert!(unified("web", Some(&before), &after, PLAIN).contains("hunter2"));
    let text = unified("web", Some(&before), &after, Masking { variables: true });
    insta::assert_snapshot!(text, @r#"
    --- web (in the cluster)
    +++ web (after apply)
    @@ -8,7 +8,7 @@
           containers:
           - env:
             - name: TOKEN
    -          value: "*** (before)"
    +          value: "*** (after)"
             - name: POD
               valueFrom: {}
             name: web
    "#);
}
