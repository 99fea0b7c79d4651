//! `guest.host_access` on a real cluster: closed, opened and closed again, each with the next start, even where RAM was saved
//! with the other setting.
//!
//! The steps share one VM and run in this order.

use std::net::{Ipv4Addr, TcpListener};
use std::process::ExitCode;
use std::time::Duration;

use k3s_vm_tests_vm::pod_network::FIND;
use k3s_vm_tests_vm::project::{ExampleProject, repository};
use k3s_vm_tests_vm::steps::{Steps, eventually};

const PATIENCE: Duration = Duration::from_secs(300);
const NAME: &str = "host.k3s-vm.internal";

fn main() -> ExitCode {
    let service = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = service.local_addr().expect("an address").port();
    let project = ExampleProject::copy();
    // Without the application: the cluster's own pods are enough.
    std::fs::remove_dir_all(project.path(".k3s-vm/manifests")).expect("the manifests can be removed");
    std::fs::create_dir(project.path(".k3s-vm/manifests")).expect("a directory");
    project.write(".k3s-vm/manifests/base.json", "{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": []}\n");
    project.write(".k3s-vm/config.toml", "web.service = \"30080\"\n");
    let mut steps = Steps::default();
    steps.run("pods_reached_every_service_of_the_hosts_loopback", || {
        project.ok(&["start"]);
        assert_closed(&project, port);
    });
    steps.run("ram_saved_with_access_closed_is_not_resumed_with_access_open", || {
        project.ok(&["stop"]);
        set(&project, true);
        let stderr = stderr_of(&project, &["start"]);
        assert!(stderr.contains("guest.host_access was false and is true; booting from the disk"), "{stderr}");
    });
    steps.run("pods_find_the_host_by_its_name", || {
        let found = eventually("the name in the cluster", PATIENCE, || {
            let asked = format!("{} busybox nslookup {NAME} 10.43.0.10", in_a_pod(&project));
            let output = project.k3s_vm(&["ssh", "--", &asked]);
            output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
        });
        assert!(found.contains("10.0.2.2"), "{found}");
        assert!(project.ok(&["ssh", "--", "getent", "hosts", NAME]).starts_with("10.0.2.2 "));
        for who in [in_a_pod(&project), String::new()] {
            let output = project.k3s_vm(&["ssh", "--", &connect(&who, "10.0.2.2", port)]);
            assert!(output.status.success(), "{who:?} does not reach the host");
        }
    });
    steps.run("access_that_was_taken_back_came_back_with_the_suspended_ram", || {
        project.ok(&["stop"]);
        set(&project, false);
        let stderr = stderr_of(&project, &["start"]);
        assert!(stderr.contains("guest.host_access was true and is false; booting from the disk"), "{stderr}");
        assert_closed(&project, port);
    });
    steps.run("a_reset_restores_a_template_with_access_closed", || {
        let stderr = stderr_of(&project, &["reset"]);
        assert!(stderr.contains("Restoring the cluster"), "{stderr}");
        assert_closed(&project, port);
    });
    steps.run("a_fork_is_closed_like_its_project", || {
        let script = format!(
            "{:?} --project {:?} --name ${{K3S_VM_NAME#k3s-vm-}} ssh -- {:?}",
            repository().join("bin/k3s-vm").display().to_string(),
            project.path("").display().to_string(),
            connect("", "10.0.2.2", port)
        );
        let output = project.k3s_vm(&["run", "--", "sh", "-c", &format!("{script} 2>&1 | grep 'No route to host'")]);
        assert!(output.status.success(), "a fork can reach the host");
    });
    if steps.failed() {
        project.show_logs();
    }
    steps.finish()
}

/// The command prefix that enters the network namespace of a pod.
fn in_a_pod(project: &ExampleProject) -> String {
    let pid = eventually("a pod with a network", PATIENCE, || {
        let output = project.k3s_vm(&["ssh", "--", FIND]);
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned()).filter(|pid| !pid.is_empty())
    });
    format!("nsenter -t {pid} -n")
}

fn set(project: &ExampleProject, open: bool) {
    project.write(".k3s-vm/config.toml", &format!("web.service = \"30080\"\nguest.host_access = {open}\n"));
}

/// The stderr of a verb, which must succeed.
fn stderr_of(project: &ExampleProject, arguments: &[&str]) -> String {
    let (code, stderr) = project.code_and_stderr(arguments);
    assert_eq!(code, Some(0), "{stderr}");
    stderr
}

/// A command for the guest that connects by TCP; `who` is a prefix that enters a pod's network, or empty.
fn connect(who: &str, address: &str, port: u16) -> String {
    format!("{who} timeout 20 bash -c ': </dev/tcp/{address}/{port}'")
}

/// Neither a pod nor the guest itself, and so no hostNetwork pod, can connect; names still resolve.
fn assert_closed(project: &ExampleProject, port: u16) {
    for who in [in_a_pod(project), String::new()] {
        for address in ["10.0.2.2", "10.0.2.3", "10.0.2.77"] {
            let said = project.ok(&["ssh", "--", &format!("{} 2>&1 || true", connect(&who, address, port))]);
            assert!(said.contains("No route to host"), "{who:?} to {address}: {said:?}");
        }
    }
    let asked = format!("{} busybox nslookup kubernetes.default.svc.cluster.local 10.43.0.10", in_a_pod(project));
    eventually("names of the cluster", PATIENCE, || {
        project.k3s_vm(&["ssh", "--", &asked]).status.success().then_some(())
    });
    // The host's nameserver may not know the name, but it answers.
    let asked = format!("{} busybox nslookup localhost 10.0.2.3 2>&1 || true", in_a_pod(project));
    let said = project.ok(&["ssh", "--", &asked]);
    assert!(said.contains("10.0.2.3") && !said.contains("timed out"), "{said}");
}
