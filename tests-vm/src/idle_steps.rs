//! Steps of the main job: the VM is paused and woken, and ports are forwarded while it runs.

use serde_json::Value;

use crate::http;
use crate::project::ExampleProject;
use crate::steps::Steps;

/// Runs the steps on a running cluster with its application on `web_port`.
pub fn run(steps: &mut Steps, project: &ExampleProject, web_port: u16) {
    steps.run("a_paused_vm_answers_the_next_request", || {
        project.ok(&["pause"]);
        assert_eq!(state(project), "paused");
        let (status, _) = http::get(web_port, "/").expect("an answer");
        assert_eq!(status, 200);
        assert_eq!(state(project), "running");
        project.ok(&["pause"]);
        project.kubectl(&["get", "nodes"]);
        project.ok(&["pause"]);
        project.ok(&["resume"]);
        assert_eq!(state(project), "running");
    });
    steps.run("a_forward_to_a_node_port_opens_and_closes_while_the_vm_runs", || {
        let text = project.ok(&["forward", "add", &web_port.to_string(), "-o", "json"]);
        let added: Value = serde_json::from_str(&text).expect("JSON");
        let port = added["host"].as_u64().and_then(|port| u16::try_from(port).ok()).expect("a port");
        let (status, _) = http::get(port, "/").expect("an answer");
        assert_eq!(status, 200);
        project.ok(&["forward", "rm", &port.to_string()]);
        assert!(http::get(port, "/").is_err(), "port {port} still answers");
    });
}

fn state(project: &ExampleProject) -> String {
    let status: Value = serde_json::from_str(&project.ok(&["status", "-o", "json"])).expect("JSON");
    status["state"].as_str().unwrap_or_default().to_owned()
}
