//! Steps of the main job: credentials. A guest's kubeconfig that tries to run programs on the host, and the rights of
//! containers.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::dotenv::Document;
use serde_json::Value;

use crate::project::ExampleProject;
use crate::steps::{Steps, eventually};

const ACCOUNT: &str = "system:serviceaccount:kube-system:k3s-vm-containers";

/// Runs the steps; `state` returns the application's `/api/state`. They leave the project's cluster as it was.
///
/// # Panics
/// Never: a step that fails is counted.
pub fn run(steps: &mut Steps, project: &ExampleProject, state: &dyn Fn() -> Value) {
    steps.run("the_guests_kubeconfig_runs_nothing_on_the_host", || hostile_guest(project));
    steps.run("containers_have_a_credential_of_their_own", || own_credential(project));
    steps.run("a_lowered_role_takes_rights_from_pods_that_run", || lowered(project, state));
    steps.run("deleting_the_secret_revokes_the_token_and_apply_renews_it", || revoked(project, state));
}

fn hostile_guest(project: &ExampleProject) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mark = directory.path().join("ran");
    let mark = mark.to_str().expect("a plain path");
    let user = format!(
        "  user:\\n    exec: {{apiVersion: client.authentication.k8s.io/v1, command: /bin/sh, args: [-c, touch {mark}], \
         interactiveMode: Never}}\\n    tokenFile: {mark}\\n    username: hostile"
    );
    let cluster = "- cluster:\\n    proxy-url: http://127.0.0.1:1\\n    insecure-skip-tls-verify: true";
    let script = format!(
        "for file in /etc/kubernetes/admin.conf /etc/rancher/k3s/k3s.yaml; do test -f $file || continue; \
         cp -a $file $file.original && \
         sed -i -e 's|^  user:$|{user}|' -e 's|^- cluster:$|{cluster}|' $file && \
         grep -c -e {mark} -e proxy-url $file; done"
    );
    assert_eq!(project.ok(&["ssh", "--", &script]).trim(), "3", "the guest's kubeconfig was not changed");
    for verb in [&["apply", "--dry-run"][..], &["apply"], &["start"], &["status"]] {
        project.ok(verb);
    }
    // Where the host has no kubectl this is the guest's, which its own kubeconfig may break.
    project.try_kubectl(&["get", "nodes"]);
    for file in ["web/.kube/config", ".k3s-vm/vm/cluster.json"] {
        let text = project.read(file);
        for word in ["exec", "tokenFile", "hostile", "proxy-url", "insecure"] {
            assert!(!text.contains(word), "{word} in {file}");
        }
    }
    assert!(!std::path::Path::new(mark).exists(), "the host has run a program of the guest");
    let back = "for file in /etc/kubernetes/admin.conf /etc/rancher/k3s/k3s.yaml; do test -f $file.original || continue; \
                mv $file.original $file; done";
    project.ok(&["ssh", "--", back]);
    assert!(project.kubectl(&["get", "nodes"]).contains("Ready"));
}

fn decoded(base64: &str) -> Value {
    let bytes = STANDARD.decode(base64.trim()).expect("base64");
    serde_json::from_slice(&bytes).expect("JSON")
}

/// The kubeconfig of the containers.
fn inside(project: &ExampleProject) -> Value {
    let data = project.kubectl(&["get", "secret", "web-env", "-o", "jsonpath={.data.KUBECONFIG_PRIMARY}"]);
    let text = STANDARD.decode(data.trim()).expect("base64");
    decoded(&String::from_utf8(text).expect("text"))
}

fn own_credential(project: &ExampleProject) {
    let host = Document::parse(project.read("web/.env").as_bytes()).get("KUBECONFIG_PRIMARY").expect("a value");
    let (host, inside) = (decoded(&host), inside(project));
    assert!(host["users"][0]["user"]["client-key-data"].is_string() && host["users"][0]["user"].get("token").is_none());
    let user = inside["users"][0]["user"].as_object().expect("a user");
    assert_eq!(user.keys().collect::<Vec<_>>(), ["token"]);
    assert_eq!(inside["clusters"][0]["cluster"]["server"], "https://kubernetes.default.svc:443");
    assert!(can(project, "create", "deployments"), "cluster-admin is the default");
}

/// Whether the containers may do this.
fn can(project: &ExampleProject, verb: &str, what: &str) -> bool {
    project.try_kubectl(&["auth", "can-i", verb, what, "-A", "--as", ACCOUNT]).is_some()
}

fn pods(project: &ExampleProject) -> String {
    project.kubectl(&["get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].metadata.uid}"])
}

fn lowered(project: &ExampleProject, state: &dyn Fn() -> Value) {
    let before = pods(project);
    project.ok(&["apply", "--set", "inject.cluster_role=view"]);
    assert_eq!(pods(project), before, "pods were replaced though nothing in them has changed");
    assert!(can(project, "list", "pods") && !can(project, "create", "pods") && !can(project, "list", "secrets"));
    // The role `view` cannot list nodes, and the running application notices that.
    eventually("the application to lose its rights", Duration::from_secs(60), || {
        state()["nodesError"].as_str().is_some_and(|why| why.contains("403 Forbidden")).then_some(())
    });
    project.ok(&["apply", "--set", "inject.cluster_role=none"]);
    assert!(!can(project, "list", "pods"));
    project.ok(&["apply"]);
    assert!(can(project, "create", "pods"));
    assert_eq!(pods(project), before);
}

fn revoked(project: &ExampleProject, state: &dyn Fn() -> Value) {
    let before = inside(project);
    project.kubectl(&["-n", "kube-system", "delete", "secret", "k3s-vm-containers"]);
    eventually("the token to be refused", Duration::from_secs(120), || {
        state()["nodesError"].as_str().is_some_and(|why| why.contains("401 Unauthorized")).then_some(())
    });
    project.ok(&["apply"]);
    assert_ne!(inside(project), before);
    eventually("the application to have a new token", Duration::from_secs(300), || {
        state()["nodes"].as_array().is_some_and(|nodes| !nodes.is_empty()).then_some(())
    });
    let pods_before = pods(project);
    project.ok(&["apply"]);
    assert_eq!(pods(project), pods_before, "an apply without changes has replaced pods");
}
