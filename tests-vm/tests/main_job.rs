//! The main job on a real cluster, end to end: from a fresh project to a web application behind a port, and back.
//!
//! The steps share one VM and run in this order.

use std::path::PathBuf;
use std::process::ExitCode;

use base64::Engine;
use k3s_vm_tests_vm::apply_steps;
use k3s_vm_tests_vm::credential_steps;
use k3s_vm_tests_vm::data_steps;
use k3s_vm_tests_vm::hostile_steps;
use k3s_vm_tests_vm::http;
use k3s_vm_tests_vm::idle_steps;
use k3s_vm_tests_vm::instant_steps;
use k3s_vm_tests_vm::project::ExampleProject;
use k3s_vm_tests_vm::steps::Steps;
use model::dotenv::Document;
use serde_json::Value;

const WEB_PORT: u16 = 30080;
/// A port that no Service has as its NodePort.
const OTHER_WEB_PORT: u16 = 30081;

fn main() -> ExitCode {
    let project = ExampleProject::copy();
    let mut steps = Steps::default();
    steps.run("start_brings_a_fresh_project_to_an_answering_application", || {
        project.ok(&["start", "--timeout", "20m"]);
        let (status, page) = http::get(WEB_PORT, "/").expect("an answer");
        assert_eq!(status, 200);
        assert!(page.contains("<html"), "not the page: {page}");
    });
    steps.run("kubectl_sees_a_ready_node", || {
        let nodes: Value = serde_json::from_str(&project.kubectl(&["get", "nodes", "-o", "json"])).expect("JSON");
        assert_eq!(nodes["items"].as_array().map(Vec::len), Some(1));
        let conditions = nodes["items"][0]["status"]["conditions"].as_array().expect("conditions");
        assert!(conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "True"), "{conditions:?}");
    });
    steps.run("the_web_directory_has_kubeconfig_link_and_variables", || web_directory(&project));
    steps.run("the_application_has_its_variables_and_reaches_the_api_by_name", || application(&project));
    steps.run("an_apply_without_changes_replaces_no_pod", || {
        let before = web_pods(&project);
        project.ok(&["apply"]);
        assert_eq!(web_pods(&project), before);
    });
    steps.run("a_changed_variable_reaches_the_pods_on_apply", || {
        let before = web_pods(&project);
        set_variable(&project, "GREETING", "Changed while running");
        project.ok(&["apply"]);
        assert_ne!(web_pods(&project), before, "the pods did not roll");
        assert_eq!(state()["greeting"], "Changed while running");
    });
    apply_steps::run(&mut steps, &project);
    credential_steps::run(&mut steps, &project, &state);
    steps.run("a_service_name_resolves_in_a_pod", || {
        let address =
            project.kubectl(&["exec", "deploy/web", "--", "/web", "resolve", "web.default.svc.cluster.local"]);
        let service = project.kubectl(&["get", "service", "web", "-o", "jsonpath={.spec.clusterIP}"]);
        assert!(
            !service.is_empty() && address.contains(&service),
            "resolved to {address:?}, the Service has {service:?}"
        );
    });
    steps.run("logs_and_top_work", || {
        assert!(!project.kubectl(&["logs", "deploy/web"]).is_empty(), "no logs");
        project.kubectl(&["-n", "kube-system", "rollout", "status", "deploy/metrics-server", "--timeout=300s"]);
        k3s_vm_tests_vm::steps::eventually("kubectl top node", std::time::Duration::from_secs(240), || {
            project.try_kubectl(&["top", "node"]).filter(|text| text.contains("k3s-vm"))
        });
    });
    if host_has_kubectl() {
        steps.run("port_forward_reaches_the_pod", || port_forward(&project));
    } else {
        steps.skip(
            "port_forward_reaches_the_pod",
            "this host has no kubectl, and the guest's cannot listen on the host",
        );
    }
    steps.run("ssh_passes_output_and_exit_code", || {
        assert_eq!(project.ok(&["ssh", "--", "hostname"]).trim(), "k3s-vm");
        assert_eq!(project.k3s_vm(&["ssh", "--", "exit 42"]).status.code(), Some(42));
    });
    // With bin/test --provider nix.
    if std::env::var("K3S_VM_IMAGE_PROVIDER").is_ok_and(|provider| provider == "nix") {
        steps.skip("the_machine_has_what_kubernetes_and_k3s_need", "the check is a part of guest/debian");
    } else {
        steps.run("the_machine_has_what_kubernetes_and_k3s_need", || project.check_guest());
    }
    steps.run("load_takes_an_archive_from_a_file_and_from_a_stream", || load(&project));
    hostile_steps::run(&mut steps, &project, &archive_of(&project));
    steps.run("status_reports_as_json_and_as_text", || {
        let status = status(&project);
        assert_eq!(status["state"], "running");
        assert_eq!(status["api_state"], "ready");
        assert!(project.ok(&["status"]).contains("running"));
    });
    steps.run("start_when_running_verifies_and_succeeds", || {
        let pid = status(&project)["pid"].clone();
        project.ok(&["start"]);
        assert_eq!(status(&project)["pid"], pid);
    });
    idle_steps::run(&mut steps, &project, WEB_PORT);
    let mut visits = 0;
    instant_steps::suspended(&mut steps, &project, &mut || {
        http::get(WEB_PORT, "/").expect("an answer");
        visits = state()["visits"].as_u64().expect("a number");
        assert!(visits >= 2, "{visits} visits were counted");
    });
    steps.run("a_volume_keeps_its_data_over_stop_and_start", || {
        assert_eq!(state()["visits"], visits);
    });
    steps.run("ram_of_another_generation_is_not_used_and_a_start_that_timed_out_can_be_repeated", || {
        project.ok(&["stop"]);
        qemu::qcow2::set_generation(&project.path(".k3s-vm/vm/disk.qcow2"), &qemu::qcow2::new_generation())
            .expect("another generation");
        let (code, stderr) = project.code_and_stderr(&["start", "--timeout", "2s"]);
        assert_eq!(code, Some(4), "not the exit code of a timeout: {stderr}");
        assert!(stderr.contains("the suspended RAM is not used: the disk has been in use since"), "{stderr}");
        project.ok(&["start"]);
        assert_eq!(state()["visits"], visits);
    });
    steps.run("a_killed_vm_starts_again_with_its_data_on_changed_ports", || {
        let pid = status(&project)["pid"].as_u64().expect("a pid");
        let killed = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().expect("kill");
        assert!(killed.success());
        k3s_vm_tests_vm::steps::eventually("the end of QEMU", std::time::Duration::from_secs(20), || {
            (status(&project)["state"] == "stopped").then_some(())
        });
        project.write(".env", &format!("WEB_PORT={OTHER_WEB_PORT}\n"));
        project.ok(&["start", "--api-port", "7443", "--set", "ports.ssh=2667"]);
        assert_eq!(state_at(OTHER_WEB_PORT)["visits"], visits);
        assert!(project.read("web/.kube/config").contains("https://127.0.0.1:7443"));
        project.kubectl(&["get", "nodes"]);
        assert_eq!(project.ok(&["ssh", "--", "echo", "here"]), "here\n");
    });
    project.write(".env", &format!("WEB_PORT={WEB_PORT}\n"));
    let visit = || drop(http::get(WEB_PORT, "/").expect("an answer"));
    let visits = || state()["visits"].as_u64().expect("a number");
    data_steps::power(&mut steps, &project);
    instant_steps::reset_and_snapshots(&mut steps, &project, &visit, &visits);
    data_steps::damage(&mut steps, &project);
    steps.run("stop_powers_the_guest_off", || {
        project.ok(&["stop", "--power-off"]);
        assert_eq!(status(&project)["state"], "stopped");
    });
    if steps.failed() {
        project.show_logs();
    }
    drop(project);
    steps.finish()
}

fn host_has_kubectl() -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|directory| directory.join("kubectl").is_file()))
}

fn status(project: &ExampleProject) -> Value {
    serde_json::from_str(&project.ok(&["status", "-o", "json"])).expect("JSON")
}

/// The application's `/api/state`; asking for it does not count as a visit.
fn state() -> Value {
    state_at(WEB_PORT)
}

fn state_at(port: u16) -> Value {
    let (status, body) = http::get(port, "/api/state").expect("an answer");
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).expect("JSON")
}

fn web_pods(project: &ExampleProject) -> String {
    project.kubectl(&["get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].metadata.uid}"])
}

fn set_variable(project: &ExampleProject, name: &str, value: &str) {
    let path = project.path("web/.env");
    let mut document = Document::parse(&std::fs::read(&path).expect("web/.env"));
    document.set(name, value);
    std::fs::write(&path, document.to_bytes()).expect("web/.env");
}

fn web_directory(project: &ExampleProject) {
    use std::os::unix::fs::PermissionsExt;
    let link = std::fs::read_link(project.path("web/kubeconfig.yaml")).expect("a link");
    assert_eq!(link, std::path::Path::new(".kube/config"));
    for secret in ["web/.kube/config", "web/.env"] {
        let mode = std::fs::metadata(project.path(secret)).expect(secret).permissions().mode();
        assert_eq!(mode & 0o077, 0, "{secret} can be read by others: {mode:o}");
    }
    let document = Document::parse(project.read("web/.env").as_bytes());
    assert_eq!(document.get("KUBECONFIG").as_deref(), Some("./kubeconfig.yaml"));
    let primary = document.get("KUBECONFIG_PRIMARY").expect("KUBECONFIG_PRIMARY");
    let json = base64::engine::general_purpose::STANDARD.decode(primary).expect("base64");
    let kubeconfig: Value = serde_json::from_slice(&json).expect("JSON");
    assert_eq!(kubeconfig["clusters"][0]["cluster"]["server"], "https://127.0.0.1:6443");
    assert!(!json.contains(&b'\n'), "more than one line");
}

fn application(project: &ExampleProject) {
    let state = state();
    let nodes = state["nodes"].as_array().unwrap_or_else(|| panic!("no nodes: {state}"));
    assert!(nodes.iter().any(|node| node["name"] == "k3s-vm" && node["ready"] == true), "{state}");
    let variables = state["variables"].as_array().expect("variables");
    let has = |name: &str| variables.iter().any(|variable| variable["name"] == name);
    assert!(has("GREETING") && has("KUBECONFIG_PRIMARY"), "{variables:?}");
    assert!(!has("KUBECONFIG"), "the container has KUBECONFIG, whose file it does not have");
    let expected = Document::parse(project.read("web/.env").as_bytes()).get("GREETING").expect("GREETING");
    assert_eq!(state["greeting"], expected);
}

fn port_forward(project: &ExampleProject) {
    let mut child = project.spawn_kubectl(&["port-forward", "deploy/web", "18080:8080"]);
    let answer = k3s_vm_tests_vm::steps::try_eventually(std::time::Duration::from_secs(60), || {
        http::get(18080, "/healthz").ok()
    });
    let _ = child.kill();
    let _ = child.wait();
    assert_eq!(answer.expect("no answer through port-forward").0, 200);
}

/// The archive of the example's image.
fn archive_of(project: &ExampleProject) -> PathBuf {
    std::fs::read_dir(project.path(".k3s-vm/vm/images"))
        .expect("the archives of the project's images")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "tar"))
        .expect("an archive")
}

fn load(project: &ExampleProject) {
    let archive = archive_of(project);
    let file = project.ok(&["load", &archive.display().to_string(), "-o", "json"]);
    let images: Value = serde_json::from_str(&file).expect("JSON");
    assert_eq!(images[0]["name"], "docker.io/local/web:dev");
    assert_eq!(images[0]["transferred"], false, "the guest had it already");
    // Remove it, so that the stream has something to transfer.
    project.ok(&["ssh", "--", "PATH=$PATH:/usr/local/bin; ctr -n k8s.io images rm docker.io/local/web:dev"]);
    let stream = project.ok_with_input(&["load", "-", "-o", "json"], &archive);
    let images: Value = serde_json::from_str(&stream).expect("JSON");
    assert_eq!(images[0]["transferred"], true);
    let names = project.ok(&["ssh", "--", "PATH=$PATH:/usr/local/bin; ctr -n k8s.io images ls -q"]);
    assert!(names.lines().any(|name| name == "docker.io/local/web:dev"), "{names}");
}
