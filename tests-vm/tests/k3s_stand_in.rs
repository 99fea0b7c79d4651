//! A guest with the distribution `k3s` and a stand-in for K3s: everything around K3s is real.
//!
//! It shows that the files are in their places, that systemd starts the unit as K3s needs it, that the guest has what K3s
//! needs, and that it powers off. The steps share one VM and run in this order.

use std::process::ExitCode;
use std::time::Duration;

use k3s_vm_tests_vm::project::ExampleProject;
use k3s_vm_tests_vm::steps::{Steps, eventually};
use serde_json::Value;
use testkit::fake_k3s;

const PATIENCE: Duration = Duration::from_secs(300);

fn main() -> ExitCode {
    let project = ExampleProject::copy();
    configure(&project);
    let mut steps = Steps::default();
    steps.run("the_guest_starts_with_the_users_k3s", || {
        project.ok(&["start", "--no-wait"]);
        let status: Value = serde_json::from_str(&project.ok(&["status", "-o", "json"])).expect("JSON");
        assert_eq!(status["distribution"], format!("k3s {}", fake_k3s::VERSION));
        eventually("ssh", PATIENCE, || project.k3s_vm(&["ssh", "--", "true"]).status.success().then_some(()));
    });
    steps.run("systemd_runs_it_as_a_server", || {
        let report = eventually("the report of the stand-in", PATIENCE, || report(&project));
        assert_eq!(report["arguments"], serde_json::json!(["/usr/local/bin/k3s", "server"]));
        assert_eq!(report["cgroup"], "0::/system.slice/k3s.service");
        assert_eq!(report["oom"], "-999");
        assert_eq!(report["GODEBUG"], "asyncpreemptoff=1");
        let limits = report["limits"].as_str().expect("a text");
        assert!(limits.lines().any(|line| line.starts_with("Max open files") && line.contains("1048576")), "{limits}");
        let shown = guest(&project, "systemctl show k3s.service -p ActiveState,Delegate,KillMode,Restart,Type");
        for property in ["ActiveState=active", "Delegate=yes", "KillMode=process", "Restart=always", "Type=notify"] {
            assert!(shown.lines().any(|line| line == property), "{property} is not among\n{shown}");
        }
    });
    steps.run("its_units_are_valid", || {
        guest(&project, "systemd-analyze verify --man=no k3s.service k3s-vm-network.service k3s-vm-hooks.service k3s-vm-host-access.service");
        assert_eq!(guest(&project, "systemctl --failed --plain --no-legend"), "");
    });
    steps.run("its_configuration_and_tools_are_in_their_places", || {
        let own = guest(&project, "cat /etc/rancher/k3s/config.yaml");
        assert!(own.contains("node-name: k3s-vm") && own.contains("write-kubeconfig-mode: \"0600\""), "{own}");
        let users = guest(&project, "cat /etc/rancher/k3s/config.yaml.d/k3s-vm.yaml");
        assert!(users.ends_with("disable:\n  - \"traefik\"\n"), "{users}");
        for tool in ["kubectl", "ctr", "crictl"] {
            assert_eq!(guest(&project, &format!("/usr/local/bin/{tool}")), format!("{tool} of the stand-in\n"));
        }
    });
    steps.run("the_machine_has_what_k3s_needs", || project.check_guest());
    steps.run("systemd_restarts_it_when_it_dies", || {
        guest(&project, &format!("rm {} && systemctl kill -s KILL k3s.service", fake_k3s::REPORT));
        eventually("the second report", PATIENCE, || report(&project));
    });
    steps.run("powering_off_terminates_it_gracefully", || {
        project.ok(&["stop", "--power-off"]);
        project.ok(&["start", "--no-wait"]);
        eventually("ssh", PATIENCE, || project.k3s_vm(&["ssh", "--", "true"]).status.success().then_some(()));
        assert_eq!(guest(&project, &format!("cat {}", fake_k3s::FAREWELL)), "told to go\n");
    });
    if steps.failed() {
        project.show_logs();
    }
    steps.finish()
}

/// Configures K3s from a file, with one component disabled.
fn configure(project: &ExampleProject) {
    let text = format!(
        "{}\n[image]\ndistribution = \"k3s\"\n[k3s]\nbinary = '{}'\ndisable = [\"traefik\"]\n",
        project.read(".k3s-vm/config.toml"),
        fake_k3s::program().display()
    );
    std::fs::write(project.path(".k3s-vm/config.toml"), text).expect("the configuration");
}

/// Runs a command in the guest, which must succeed; its output.
fn guest(project: &ExampleProject, command: &str) -> String {
    project.ok(&["ssh", "--", command])
}

fn report(project: &ExampleProject) -> Option<Value> {
    let output = project.k3s_vm(&["ssh", "--", "cat", fake_k3s::REPORT]);
    serde_json::from_slice(&output.stdout).ok()
}
