//! What `stop` saves, and what it reports when it cannot.

use std::collections::BTreeMap;

use model::config::key::{KEYS, Kind};
use testkit::Script;
use testkit::fake_api::FakeApi;
use testkit::script::{AgentScript, Program};

use crate::process::state;
use crate::setup::Setup;

/// A guest that can be suspended.
fn guest() -> Script {
    let sync = Program { command: "/bin/sync".to_owned(), ..Program::default() };
    Script { agent: AgentScript { programs: vec![sync], ..Default::default() }, ..Script::default() }
}

#[test]
fn a_cluster_that_nobody_had_waited_for_was_powered_off_and_lost_its_ram() {
    let setup = Setup::new(&guest());
    for verb in [&["start", "--no-wait"][..], &["reset", "--no-wait"]] {
        setup.says(verb, 0);
        insta::allow_duplicates! {
            insta::assert_snapshot!(setup.says(&["stop"], 0), @"[1/1] Stopping the VM …: suspended; `k3s-vm start` resumes it");
        }
        let output = setup.run(&["start", "--no-wait"]);
        let (said, told) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
        assert!(said.contains("Resuming the VM"), "{said}");
        assert!(told.contains("the cluster resumes where it was suspended"), "{told}");
        assert_eq!(state(&setup), "running");
    }
}

#[test]
fn a_cluster_that_is_ready_is_known_to_be_so_though_nobody_had_waited() {
    let api = FakeApi::start();
    let mut script = guest();
    script.agent.files = BTreeMap::from([("/etc/kubernetes/admin.conf".to_owned(), api.kubeconfig().to_owned())]);
    let guest_ports = BTreeMap::from([(6443, api.address().to_string())]);
    let setup = Setup::new(&Script { listen: true, guest_ports, ..script });
    setup.says(&["start", "--no-wait"], 0);
    setup.says(&["stop"], 0);
    let suspended = std::fs::read(setup.vm_dir().join("suspended.json")).unwrap();
    let suspended: serde_json::Value = serde_json::from_slice(&suspended).unwrap();
    assert_eq!(suspended["cluster"]["node"], "k3s-vm", "{suspended}");
}

#[test]
fn what_loses_the_ram_was_a_note_that_quiet_did_not_show() {
    // A guest that cannot write its data is powered off.
    let setup = Setup::new(&Script::default());
    setup.says(&["start", "--no-wait"], 0);
    let said = setup.says(&["--quiet", "stop"], 0);
    assert!(said.starts_with("Warning: it cannot be suspended: the guest did not write its data"), "{said}");
    assert!(said.ends_with("; powering off\n"), "{said}");
    // RAM that no longer matches is discarded.
    setup.script(&guest());
    setup.says(&["start", "--no-wait"], 0);
    setup.says(&["stop"], 0);
    let said = setup.says(&["--quiet", "start", "--no-wait", "--memory", "3GiB"], 0);
    assert!(said.starts_with("Warning: the suspended RAM is not used: "), "{said}");
    assert!(said.ends_with("; booting from the disk\n"), "{said}");
}

/// `Instant + Duration` panics on overflow.
#[test]
fn a_duration_of_many_years_ended_the_program_with_a_panic() {
    const HUGE: &str = "99999999999years";
    let setup = Setup::new(&guest());
    let keys = KEYS.iter().filter(|key| matches!(key.kind, Kind::Duration) || key.name == "auto_pause");
    let sets: Vec<String> = keys.flat_map(|key| ["--set".to_owned(), format!("{}={HUGE}", key.name)]).collect();
    assert!(sets.len() > 2 * 10, "{sets:?}");
    for verb in [
        &["start", "--no-wait", "--timeout", HUGE][..],
        &["stop", "--timeout", HUGE],
        &["start", "--no-wait"],
        &["stop", "--power-off"],
    ] {
        let arguments: Vec<&str> = verb.iter().copied().chain(sets.iter().map(String::as_str)).collect();
        let said = setup.says(&arguments, 0);
        assert!(!said.contains("panicked") && !said.contains("Warning"), "{said}");
    }
}

#[test]
fn a_wait_for_another_command_ends_when_the_user_says() {
    let setup = Setup::new(&guest());
    setup.says(&["start", "--no-wait"], 0);
    let lock = std::fs::File::options().write(true).open(setup.vm_dir().join("lock")).unwrap();
    lock.lock().unwrap();
    for verb in [&["stop"][..], &["pause"], &["reset"], &["load", "x.tar"], &["apply", "--dry-run"]] {
        let arguments: Vec<&str> = verb.iter().copied().chain(["--set", "timeouts.lock=10ms"]).collect();
        let said = setup.says(&arguments, 3);
        assert!(said.contains("Error: instance k3s-vm is in use by another process\n"), "{said}");
        assert!(said.contains("it was not released within 10ms\n"), "{said}");
    }
}
