//! Steps of the main job: `apply` on a real API server: dry runs, pruning, conflicts, another cluster's kubeconfig.

use serde_json::Value;

use crate::project::ExampleProject;
use crate::steps::Steps;

const EXTRA: &str = ".k3s-vm/manifests/extra.yaml";

/// Runs the steps; they leave the project's cluster as it was.
///
/// # Panics
/// Never: a step that fails is counted.
pub fn run(steps: &mut Steps, project: &ExampleProject) {
    steps.run("a_dry_run_shows_the_difference_and_changes_nothing", || dry_run(project));
    steps.run("what_leaves_the_manifests_leaves_the_cluster", || prune(project));
    steps.run("a_conflict_names_field_manager_and_flag_to_force", || conflict(project));
    steps.run("another_project_applies_with_a_kubeconfig", || kubeconfig(project));
}

fn config_map(value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: extra, namespace: default}}\ndata: {{key: {value}}}\n")
}

fn versions(project: &ExampleProject) -> String {
    let columns = "jsonpath={range .items[*]}{.kind} {.metadata.name} {.metadata.resourceVersion}{\"\\n\"}{end}";
    project.kubectl(&["get", "configmaps,secrets,services,persistentvolumeclaims", "-o", columns])
}

fn dry_run(project: &ExampleProject) {
    project.write(EXTRA, &config_map("one"));
    let (before, dot_env) = (versions(project), project.read("web/.env"));
    project.write("web/.env", &format!("{dot_env}SECRET_WORD=hunter2\n"));
    let text = project.ok(&["apply", "--dry-run"]);
    assert!(text.contains("+  key: one") && text.contains("***"), "{text}");
    // `hunter2` in base64.
    assert!(!text.contains("aHVudGVyMg"), "the value of a Secret is shown:\n{text}");
    let preview: Value = serde_json::from_str(&project.ok(&["apply", "--dry-run", "-o", "json"])).expect("JSON");
    assert_eq!(preview["dry_run"], true);
    let changes = preview["objects"].as_array().expect("objects");
    assert!(changes.iter().any(|one| one["name"] == "extra" && one["change"] == "created"), "{changes:?}");
    assert_eq!(versions(project), before);
    assert_eq!(project.read("web/.env"), format!("{dot_env}SECRET_WORD=hunter2\n"));
    project.write("web/.env", &dot_env);
}

fn prune(project: &ExampleProject) {
    let namespace = "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: extra}\n";
    project.write(EXTRA, &(config_map("one") + namespace));
    project.ok(&["apply", "--no-wait"]);
    assert!(project.try_kubectl(&["get", "configmap", "extra"]).is_some());
    project.kubectl(&["create", "configmap", "stranger"]);
    project.remove(EXTRA);
    let report: Value = serde_json::from_str(&project.ok(&["apply", "--no-wait", "-o", "json"])).expect("JSON");
    let outcome = |name: &str, kind: &str| {
        let pruned = report["pruned"].as_array().expect("pruned").iter();
        pruned.clone().find(|one| one["name"] == name && one["kind"] == kind).map(|one| one["outcome"].clone())
    };
    assert_eq!(outcome("extra", "ConfigMap"), Some("deleted".into()), "{report}");
    assert_eq!(outcome("extra", "Namespace"), Some("kept".into()), "{report}");
    assert!(project.try_kubectl(&["get", "configmap", "extra"]).is_none(), "it is still there");
    assert!(project.try_kubectl(&["get", "configmap", "stranger"]).is_some(), "an object of another manager is gone");
    project.kubectl(&["delete", "configmap/stranger", "namespace/extra"]);
    let report: Value = serde_json::from_str(&project.ok(&["apply", "--no-wait", "-o", "json"])).expect("JSON");
    assert_eq!(report["pruned"], serde_json::json!([]));
}

fn conflict(project: &ExampleProject) {
    let patch = r#"{"spec":{"template":{"spec":{"terminationGracePeriodSeconds":7}}}}"#;
    project.kubectl(&["patch", "deployment", "web", "--type=merge", "-p", patch, "--field-manager=other"]);
    let (code, stderr) = project.code_and_stderr(&["apply", "--no-wait"]);
    assert_eq!(code, Some(7), "{stderr}");
    for words in [".spec.template.spec.terminationGracePeriodSeconds belongs to other", "apply --force-conflicts"] {
        assert!(stderr.contains(words), "{words:?} in:\n{stderr}");
    }
    project.ok(&["apply", "--force-conflicts"]);
    let seconds = "jsonpath={.spec.template.spec.terminationGracePeriodSeconds}";
    assert_eq!(project.kubectl(&["get", "deployment", "web", "-o", seconds]), "10");
}

fn kubeconfig(project: &ExampleProject) {
    let other = ExampleProject::copy();
    other.remove(".k3s-vm/manifests/base.json");
    other.write(EXTRA, &config_map("theirs"));
    let file = project.path("web/.kube/config").display().to_string();
    let flags = ["apply", "--kubeconfig", &file, "--context", "k3s-vm", "--set", "apply.name=other"];
    other.ok(&flags);
    let value = || project.try_kubectl(&["get", "configmap", "extra", "-o", "jsonpath={.data.key}"]);
    assert_eq!(value().as_deref(), Some("theirs"));
    // Each project has an inventory of its own: neither prunes objects of the other.
    project.ok(&["apply", "--no-wait"]);
    assert_eq!(value().as_deref(), Some("theirs"));
    other.write(".k3s-vm/manifests/extra.json", r#"{"apiVersion": "v1", "kind": "List", "items": []}"#);
    other.remove(EXTRA);
    other.ok(&flags);
    assert_eq!(value(), None, "it was not pruned");
    assert!(
        !other.path("web/.kube").exists() && !other.path(".k3s-vm/vm").exists(),
        "files were written to the project"
    );
    let (code, stderr) = other.code_and_stderr(&["apply", "--kubeconfig", &file, "--context", "gone"]);
    assert!(code == Some(2) && stderr.contains("it has k3s-vm"), "{stderr}");
}
