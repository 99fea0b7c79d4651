//! Steps of the main job: acknowledged writes survive a loss of power, and a damaged database is reported.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::project::ExampleProject;
use crate::steps::{Steps, eventually};

/// How many objects are written before the power goes.
const OBJECTS: usize = 40;
/// The database of the distribution `kubernetes`.
const DATABASE: &str = "/var/lib/kubernetes/db/state.db";

/// A running cluster loses its power right after an answer. K3s promises less, by its own defaults.
pub fn power(steps: &mut Steps, project: &ExampleProject) {
    const NAME: &str = "what_the_api_had_acknowledged_was_gone_after_a_loss_of_power";
    if is_k3s() {
        return steps.skip(NAME, "K3s keeps its database with synchronous=NORMAL");
    }
    steps.run(NAME, || {
        let mut kubectl = project.kubectl_command(&["create", "-f", "-"]);
        let mut kubectl = kubectl.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("bin/kubectl");
        let mut input = kubectl.stdin.take().expect("a pipe");
        input.write_all(objects().to_string().as_bytes()).expect("the objects");
        drop(input);
        let answers = BufReader::new(kubectl.stdout.take().expect("a pipe")).lines();
        let acknowledged = answers.map_while(Result::ok).take(OBJECTS).filter(|line| line.contains(" created")).count();
        kill(project);
        assert_eq!(acknowledged, OBJECTS);
        kubectl.wait().expect("an end");
        project.ok(&["start"]);
        let names = project.kubectl(&["get", "configmaps", "-l", "test=power", "-o", "name"]);
        assert_eq!(names.lines().count(), OBJECTS, "acknowledged objects are lost");
        project.kubectl(&["delete", "configmaps", "-l", "test=power"]);
    });
}

/// Damages the database while the cluster does not run. The cluster is reset afterwards.
pub fn damage(steps: &mut Steps, project: &ExampleProject) {
    const NAME: &str = "a_damaged_database_was_replaced_by_an_empty_cluster_without_a_word";
    if is_k3s() {
        return steps.skip(
            NAME,
            "only the distribution `kubernetes` checks its database; K3s does not start with such a file either",
        );
    }
    steps.run(NAME, || {
        let damage = format!(
            "systemctl stop kubernetes && dd if=/dev/urandom of={DATABASE} bs=4096 seek=2 count=40 conv=notrunc 2>&1 && sync"
        );
        project.ok(&["ssh", "--", &damage]);
        let digest = || project.ok(&["ssh", "--", &format!("sha256sum {DATABASE}")]);
        let before = digest();
        project.ok(&["ssh", "--", "systemctl start kubernetes"]);
        eventually("the end of the cluster", Duration::from_secs(120), || {
            let state = project.k3s_vm(&["ssh", "--", "systemctl is-failed kubernetes"]);
            (String::from_utf8_lossy(&state.stdout).trim() == "failed").then_some(())
        });
        let (code, stderr) = project.code_and_stderr(&["start", "--timeout", "5m"]);
        assert_eq!(code, Some(5), "not the exit code of an error of the guest: {stderr}");
        for words in ["the cluster's database in the guest is damaged", "> database.tar    # keeps it", "k3s-vm reset"] {
            assert!(stderr.contains(words), "{words:?} is not in: {stderr}");
        }
        assert_eq!(digest(), before, "the damaged database was changed");
        let console = project.read(".k3s-vm/vm.log");
        assert!(console.contains(&format!("the cluster's database {DATABASE} is damaged")), "the console does not report it");
        project.ok(&["reset"]);
        project.kubectl(&["get", "nodes"]);
    });
}

fn is_k3s() -> bool {
    std::env::var("K3S_VM_IMAGE_PROVIDER").is_ok_and(|provider| provider == "nix")
}

fn objects() -> Value {
    let object = |number| {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"number": format!("{number}")},
            "metadata": {"name": format!("power-{number}"), "labels": {"test": "power"}}})
    };
    json!({"apiVersion": "v1", "kind": "List", "items": (0..OBJECTS).map(object).collect::<Vec<_>>()})
}

/// Kills QEMU, which is a loss of power for the guest: what is only in its memory is lost.
fn kill(project: &ExampleProject) {
    let status: Value = serde_json::from_str(&project.ok(&["status", "-o", "json"])).expect("JSON");
    let pid = status["pid"].as_u64().expect("a pid").to_string();
    assert!(Command::new("kill").args(["-9", &pid]).status().expect("kill").success());
    eventually("the end of QEMU", Duration::from_secs(20), || {
        let status: Value = serde_json::from_str(&project.ok(&["status", "-o", "json"])).expect("JSON");
        (status["state"] == "stopped").then_some(())
    });
}
