//! Steps of the main job: a cluster is suspended and resumed, reset to pristine, saved as a snapshot and restored.

use std::net::TcpListener;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::project::ExampleProject;
use crate::steps::Steps;

/// Stop and start. `visit` sends a request to the application.
pub fn suspended(steps: &mut Steps, project: &ExampleProject, visit: &mut dyn FnMut()) {
    let mut boot = String::new();
    steps.run("stop_suspends_and_frees_the_ports", || {
        visit();
        boot = boot_of(project);
        let ports = json(project, &["status", "-o", "json"]);
        project.ok(&["stop"]);
        assert_eq!(json(project, &["status", "-o", "json"])["state"], "suspended");
        for address in [&ports["api"], &ports["web"]] {
            let port = address.as_str().and_then(|text| text.rsplit(':').next()).expect("a port");
            let port: u16 = port.parse().expect("a number");
            TcpListener::bind(("127.0.0.1", port)).unwrap_or_else(|error| panic!("port {port}: {error}"));
        }
        project.ok(&["stop"]);
    });
    steps.run("start_resumes_the_suspended_ram_once_with_the_right_time", || {
        assert_eq!(json(project, &["start", "-o", "json"])["from"], "suspended-ram");
        assert_eq!(boot_of(project), boot, "the guest was rebooted");
        clock_is_right(project);
        for name in ["json", "ram", "state"] {
            assert!(!project.path(&format!(".k3s-vm/vm/suspended.{name}")).exists(), "{name} is left");
        }
    });
}

/// Reset and snapshots. `visit` sends a request to the application, which counts `visits` on its volume.
pub fn reset_and_snapshots(steps: &mut Steps, project: &ExampleProject, visit: &dyn Fn(), visits: &dyn Fn() -> u64) {
    steps.run("reset_restores_a_pristine_cluster_and_applies_what_has_changed", || {
        // The variables have changed since the first start.
        assert_eq!(json(project, &["reset", "-o", "json"])["from"], "template");
        assert_eq!(visits(), 0, "the old volume survived");
        project.kubectl(&["get", "nodes"]);
        clock_is_right(project);
    });
    steps.run("reset_restores_the_application_where_nothing_has_changed", || {
        visit();
        let report = json(project, &["reset", "-o", "json"]);
        assert_eq!((&report["from"], &report["apply"]["web_answers"]), (&"template".into(), &true.into()));
        assert_eq!(report["apply"]["objects"], Value::Array(Vec::new()), "it was applied");
        assert_eq!(visits(), 0, "the old volume survived");
    });
    steps.run("two_restores_have_different_random_numbers", || {
        let random = || project.ok(&["ssh", "--", "head -c 16 /dev/urandom | base64"]);
        let first = random();
        project.ok(&["reset"]);
        assert_ne!(first, random());
    });
    steps.run("a_snapshot_brings_the_cluster_back_as_it_was", || {
        visit();
        let (before, boot) = (visits(), boot_of(project));
        project.kubectl(&["create", "configmap", "saved"]);
        project.ok(&["snapshot", "save", "before"]);
        project.kubectl(&["delete", "configmap", "saved"]);
        visit();
        project.ok(&["snapshot", "restore", "before"]);
        assert_eq!(boot_of(project), boot, "the guest was rebooted");
        project.kubectl(&["get", "configmap", "saved"]);
        assert_eq!(visits(), before, "visits from after the snapshot are counted");
        clock_is_right(project);
    });
    steps.run("a_snapshot_with_a_cluster_that_does_not_answer_boots_from_its_disk", || {
        // One of the two units exists.
        let signal = |signal: &str| {
            let command =
                format!("systemctl kill --kill-whom=main --signal={signal} kubernetes.service k3s.service; true");
            project.ok(&["ssh", "--", &command]);
        };
        signal("STOP");
        project.ok(&["snapshot", "save", "asleep"]);
        signal("CONT");
        let restored = json(project, &["snapshot", "restore", "asleep", "--set", "timeouts.restore=3s", "-o", "json"]);
        assert_eq!(restored["from"], "snapshot-disk");
        project.kubectl(&["get", "configmap", "saved"]);
        clock_is_right(project);
    });
    steps.run("removing_snapshots_leaves_the_cluster", || {
        project.ok(&["snapshot", "rm", "before", "asleep"]);
        assert_eq!(json(project, &["list", "-o", "json"])["snapshots"], Value::Array(Vec::new()));
        project.kubectl(&["get", "configmap", "saved"]);
    });
}

fn json(project: &ExampleProject, arguments: &[&str]) -> Value {
    serde_json::from_str(&project.ok(arguments)).expect("JSON")
}

/// The guest's boot ID.
fn boot_of(project: &ExampleProject) -> String {
    project.ok(&["ssh", "--", "cat /proc/sys/kernel/random/boot_id"])
}

fn clock_is_right(project: &ExampleProject) {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let before = now();
    let guest: u64 = project.ok(&["ssh", "--", "date +%s"]).trim().parse().expect("seconds");
    assert!(
        (before - 2..=now() + 2).contains(&guest),
        "the guest's clock shows {guest} between {before} and {}",
        now()
    );
}
