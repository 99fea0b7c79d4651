//! What the tool believes about an instance: files only help to find processes, whose identity is verified.

use testkit::Script;
use testkit::script::PowerButton;

use crate::isolation::isolated;
use crate::process::{Stranger, is_alive, pid, state};
use crate::setup::Setup;

fn started(script: &Script) -> Setup {
    let setup = Setup::new(script);
    setup.says(&["start", "--no-wait"], 0);
    setup
}

#[test]
fn an_instance_goes_from_absent_to_running_to_stopped() {
    isolated("state::an_instance_goes_from_absent_to_running_to_stopped", || {
        let setup = Setup::new(&Script::default());
        assert_eq!(state(&setup), "absent");
        setup.says(&["start", "--no-wait"], 0);
        assert_eq!(state(&setup), "running");
        setup.says(&["stop"], 0);
        assert_eq!(state(&setup), "stopped");
        insta::assert_snapshot!(setup.says(&["stop"], 0), @"[1/1] Stopping the VM … skipped: it is not running");
    });
}

#[test]
fn the_vm_outlives_the_program_that_started_it() {
    let setup = started(&Script::default());
    assert!(is_alive(pid(&setup)));
}

#[test]
fn a_second_start_takes_the_running_vm() {
    let setup = started(&Script::default());
    let before = pid(&setup);
    setup.says(&["start", "--no-wait"], 0);
    assert_eq!(pid(&setup), before);
}

#[test]
fn a_pid_that_belongs_to_another_process_now_is_neither_believed_nor_killed() {
    isolated("state::a_pid_that_belongs_to_another_process_now_is_neither_believed_nor_killed", || {
        let setup = started(&Script::default());
        setup.says(&["stop"], 0);
        let stranger = Stranger::new(&["sleep", "600"], &setup.vm_dir());
        let state_file: serde_json::Value = serde_json::from_str(&setup.state_file_of(stranger.pid())).unwrap();
        let mut reused = state_file.clone();
        reused["process"]["start_ticks"] = 1.into();
        // A pid that was reused by another process, and a process that matches the state file in all but the -uuid.
        for state_file in [reused, state_file] {
            setup.project.write(".k3s-vm/vm/state.json", &state_file.to_string());
            setup.project.write(".k3s-vm/vm.pid", &stranger.pid().to_string());
            // The pid is only known from the state file, so it was read.
            let ended = setup.json(&["status", "-o", "json"])["ended"].to_string();
            assert!(ended.contains(&stranger.pid().to_string()), "{ended}");
            assert_eq!(state(&setup), "stopped");
            setup.says(&["stop"], 0);
            assert!(stranger.is_alive(), "a process that is not ours was ended by stop");
            setup.project.write(".k3s-vm/vm/state.json", &state_file.to_string());
            setup.says(&["reset", "--no-wait"], 0);
            assert!(stranger.is_alive(), "a process that is not ours was ended by reset");
            setup.says(&["stop", "--power-off"], 0);
        }
    });
}

#[test]
fn a_vm_without_its_state_file_is_found_by_its_command_line() {
    isolated("state::a_vm_without_its_state_file_is_found_by_its_command_line", || {
        let setup = started(&Script::default());
        let pid = pid(&setup);
        std::fs::remove_file(setup.vm_dir().join("state.json")).unwrap();
        assert_eq!(state(&setup), "orphan");
        insta::assert_snapshot!(setup.says(&["start", "--no-wait"], 3), @r"
        Error: pid PID is a QEMU of this instance that lost its state file
          its state cannot be known

        Next: k3s-vm stop --power-off     # powers it off; data are kept
        Next: k3s-vm reset    # destroys it and starts anew
        ");
        setup.says(&["reset", "--no-wait"], 0);
        assert!(!is_alive(pid));
        assert_eq!(state(&setup), "running");
    });
}

#[test]
fn a_guest_that_refuses_to_power_off_is_ended_within_its_time() {
    let script =
        Script { power_button: PowerButton::Ignore, ignore_quit: true, ignore_sigterm: true, ..Script::default() };
    let script =
        Script { agent: testkit::script::AgentScript { ignore_shutdown: true, ..Default::default() }, ..script };
    let setup = started(&script);
    let pid = pid(&setup);
    let text = setup.says(&["stop", "--timeout", "1s"], 0);
    assert!(text.contains("ended by force"), "{text}");
    assert!(!is_alive(pid));
    assert_eq!(state(&setup), "stopped");
}

#[test]
fn changed_ports_are_reported_and_used_at_the_next_start() {
    let setup = started(&Script::default());
    let config = setup.project.read(".k3s-vm/config.toml");
    let other = testkit::port::free().number();
    setup
        .project
        .write(".k3s-vm/config.toml", &config.replace(&format!("api = {}", setup.api), &format!("api = {other}")));
    let text = setup.says(&["start", "--no-wait"], 0);
    assert!(text.contains("changed ports take effect"), "{text}");
    setup.says(&["stop"], 0);
    setup.says(&["start", "--no-wait"], 0);
    let api = setup.json(&["status", "-o", "json"])["api"].as_str().unwrap().to_owned();
    assert!(api.ends_with(&format!(":{other}")), "{api}");
}

#[test]
fn the_log_of_the_previous_run_stays() {
    isolated("state::the_log_of_the_previous_run_stays", || {
        let line = testkit::script::ConsoleLine { after_ms: 0, text: "the first run".to_owned() };
        let setup = started(&Script { console: vec![line], ..Script::default() });
        setup.says(&["stop"], 0);
        setup.script(&Script::default());
        setup.says(&["start", "--no-wait"], 0);
        assert!(setup.project.read(".k3s-vm/vm.log.1").contains("the first run"));
        assert!(!setup.project.read(".k3s-vm/vm.log").contains("the first run"));
        let previous = setup.run(&["logs", "--previous"]);
        assert!(String::from_utf8_lossy(&previous.stdout).contains("the first run"));
        insta::assert_snapshot!(setup.says(&["logs", "--previous", "2"], 3), @r"
    Error: there is no log of k3s-vm from 2 runs ago
      PROJECT/.k3s-vm/vm.log.2 does not exist
      former logs that are there: 1 (the last 3 are kept)

    Next: k3s-vm logs
    ");
    });
}

#[test]
fn secrets_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let setup = started(&Script::default());
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&setup.vm_dir()), 0o700);
    for name in ["id_ed25519", "ssh_host_ed25519_key", "state.json", "instance.json"] {
        assert_eq!(mode(&setup.vm_dir().join(name)), 0o600, "{name}");
    }
    assert_eq!(mode(&setup.project.root().join(".k3s-vm/vm.log")), 0o600);
}

#[test]
fn a_web_port_outside_of_the_node_ports_leads_to_the_node_port_of_the_manifests() {
    let setup = Setup::new(&Script::default());
    let host = testkit::port::free().number();
    setup.project.write(".env", &format!("WEB_PORT={host}\n"));
    let service =
        "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: [{port: 80, nodePort: 31234}]}\n";
    setup.project.write(".k3s-vm/manifests/web.yaml", service);
    setup.says(&["start", "--no-wait"], 0);
    let words = std::fs::read(format!("/proc/{}/cmdline", pid(&setup))).unwrap();
    let forward = format!("tcp:127.0.0.1:{host}-:31234");
    assert!(String::from_utf8_lossy(&words).contains(&forward), "no {forward}");
}

#[test]
fn a_reset_that_cannot_succeed_leaves_the_old_instance_alone() {
    isolated("state::a_reset_that_cannot_succeed_leaves_the_old_instance_alone", || {
        let setup = started(&Script::default());
        let before = pid(&setup);
        setup.project.write(".k3s-vm/manifests/base.json", "{");
        setup.says(&["reset", "--no-wait"], 2);
        std::fs::remove_file(setup.project.root().join(".k3s-vm/manifests/base.json")).unwrap();
        let manifest = setup.project.read("image/manifest.json");
        setup.project.write("image/manifest.json", "{}");
        setup.says(&["reset", "--no-wait"], 2);
        setup.project.write("image/manifest.json", &manifest);
        assert_eq!(pid(&setup), before);
    });
}

#[test]
fn a_prebuilt_image_is_not_rebuilt_and_nothing_is_destroyed_for_it() {
    isolated("state::a_prebuilt_image_is_not_rebuilt_and_nothing_is_destroyed_for_it", || {
        let setup = started(&Script::default());
        let before = pid(&setup);
        insta::assert_snapshot!(setup.says(&["reset", "--rebuild", "--no-wait"], 2), @r#"
    [1/4] Checking the host …: all tools are there
    [2/4] Preparing the guest image …
    Error: a prebuilt guest image cannot be rebuilt
      image.directory = "image" in .k3s-vm/config.toml names your own files

    Next: k3s-vm reset    # with the guest image as it is
    "#);
        assert_eq!(pid(&setup), before);
    });
}

#[test]
fn a_mistake_in_the_configuration_kept_a_cluster_from_being_looked_at_and_stopped() {
    let setup = started(&Script::default());
    setup.project.write(".k3s-vm/config.toml", "vm.cpus = 0\n");
    let output = setup.run(&["status"]);
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && stdout.contains("running"), "{stdout}{stderr}");
    assert!(stderr.starts_with("Warning: the configuration is not used: "), "{stderr}");
    assert!(stderr.contains("vm.cpus"), "{stderr}");
    // What would be built or started by it is refused.
    setup.says(&["start"], 2);
    setup.says(&["reset"], 2);
    assert_eq!(state(&setup), "running");
    let said = setup.says(&["stop", "--power-off"], 0);
    assert!(said.contains("the guest powered off"), "{said}");
    // So does a variable that is no key's.
    let status = setup.command(&["status"]).env("K3S_VM_FOO", "1").output().unwrap();
    assert!(status.status.success());
}
