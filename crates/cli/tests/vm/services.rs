//! `start` and `status` notice Services that do not answer although the API is ready.

use std::collections::BTreeMap;

use testkit::Script;
use testkit::fake_api::FakeApi;
use testkit::script::{AgentScript, Program};

use crate::setup::Setup;

/// A guest with a Ready cluster in which `program` checks the Services.
fn script(api: &FakeApi, program: Program) -> Script {
    let files = BTreeMap::from([("/etc/kubernetes/admin.conf".to_owned(), api.kubeconfig().to_owned())]);
    let command = "/dev/tcp".to_owned();
    let agent = AgentScript { files, programs: vec![Program { command, ..program }], ..AgentScript::default() };
    let guest_ports = BTreeMap::from([(6443, api.address().to_string())]);
    Script { listen: true, guest_ports, agent, ..Script::default() }
}

fn prints(numbers: &str) -> Program {
    Program { stdout: numbers.to_owned(), ..Program::default() }
}

/// A project with such a guest and without templates.
fn setup(api: &FakeApi, program: Program) -> Setup {
    let setup = Setup::new(&script(api, program));
    let config = setup.project.read(".k3s-vm/config.toml");
    setup.project.write(".k3s-vm/config.toml", &format!("templates = false\n{config}"));
    setup.program("ssh", "#!/bin/sh\nexit 0\n");
    setup
}

fn services_state(setup: &Setup) -> String {
    let status = setup.json(&["status", "-o", "json"]);
    assert_eq!(status["api_state"], "ready");
    status["services_state"].as_str().unwrap().to_owned()
}

#[test]
fn services_that_answer_are_shown_by_status_only() {
    let api = FakeApi::start();
    let setup = setup(&api, prints("1\n0\n"));
    let text = setup.says(&["start"], 0);
    assert!(!text.contains("Services"), "{text}");
    assert_eq!(services_state(&setup), "answer");
    let report = setup.json(&["start", "-o", "json"]);
    assert_eq!(report["services_state"], "answer");
}

#[test]
fn a_start_warns_of_services_that_died_though_the_api_is_ready() {
    let api = FakeApi::start();
    let setup = setup(&api, prints(""));
    // The start ends within its deadline, whatever the Services do.
    let text = setup.says(&["start", "--timeout", "15s"], 0);
    let warning = "Warning: the cluster is ready, but of its Services the API's Service (10.43.0.1:443) and DNS \
        (10.43.0.10:53) do not answer, so pods may not reach the API, names or each other: `k3s-vm ssh -- systemctl restart \
        kubernetes.service` sets up the rules of all Services anew and keeps all data; `k3s-vm reset` makes a pristine cluster";
    assert!(text.contains(warning), "{text}");
    assert_eq!(services_state(&setup), "do not answer: the API's Service (10.43.0.1:443), DNS (10.43.0.10:53)");
    let people = setup.run(&["status"]);
    let people = String::from_utf8_lossy(&people.stdout).into_owned();
    assert!(people.contains("do not answer: the API's Service"), "{people}");
    // A start of a running cluster checks them as well. A quiet start warns, and its summary reports no success.
    let text = setup.says(&["-q", "start", "--timeout", "15s"], 0);
    assert!(text.contains(warning), "{text}");
    assert_ne!(setup.json(&["start", "--timeout", "15s", "-o", "json"])["services_state"], "answer");
}

#[test]
fn one_dead_service_is_named_alone() {
    let api = FakeApi::start();
    let setup = setup(&api, prints("0\n"));
    setup.says(&["start", "--timeout", "15s"], 0);
    assert_eq!(services_state(&setup), "do not answer: DNS (10.43.0.10:53)");
}

#[test]
fn a_guest_that_cannot_ask_leaves_them_unknown_and_that_is_not_no() {
    let api = FakeApi::start();
    let setup = setup(&api, Program { code: 127, ..Program::default() });
    let text = setup.says(&["start"], 0);
    assert!(text.contains("whether the Services of the cluster answer is not known"), "{text}");
    assert!(!text.contains("Warning"), "{text}");
    assert_eq!(services_state(&setup), "unknown: the guest's shell ended with 127");
}

#[test]
fn status_asks_no_service_of_a_paused_vm() {
    let api = FakeApi::start();
    let setup = setup(&api, prints("0\n1\n"));
    setup.says(&["start"], 0);
    setup.says(&["pause"], 0);
    let asked = |setup: &Setup| Script::calls(&setup.vm_dir()).iter().filter(|call| *call == "guest-exec").count();
    let before = asked(&setup);
    let status = setup.json(&["status", "-o", "json"]);
    assert_eq!((&status["state"], &status["services_state"]), (&"paused".into(), &"unknown: it is paused".into()));
    assert_eq!(asked(&setup), before);
}
