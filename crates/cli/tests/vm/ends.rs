//! Unexpected ends: QEMU killed, the host restarted, the program killed in the middle of a start.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};

use testkit::Script;
use testkit::script::{AgentScript, Greeting};

use crate::isolation::isolated;
use crate::process::{is_alive, kill, pid, state, until};
use crate::setup::Setup;

fn started(script: &Script) -> Setup {
    let setup = Setup::new(script);
    setup.says(&["start", "--no-wait"], 0);
    setup
}

#[test]
fn a_killed_qemu_is_reported_by_every_verb_and_is_no_obstacle() {
    isolated("ends::a_killed_qemu_is_reported_by_every_verb_and_is_no_obstacle", || {
        let setup = started(&Script::default());
        setup.project.write("web/.kube/config", "");
        setup.program("kubectl", "#!/bin/sh\necho \"kubectl runs with $KUBECONFIG\" >&2; exit 1\n");
        kill(pid(&setup));
        let status = String::from_utf8(setup.run(&["status"]).stdout).unwrap();
        insta::assert_snapshot!(setup.steady(&status), @r"
    Instance  k3s-vm
    Project   PROJECT
    State     stopped; the next start boots its disk
    Ended     QEMU (pid PID) was killed, or crashed
    Next      k3s-vm start
    ");
        for verb in [&["ssh"][..], &["apply"], &["load", "image.tar"]] {
            insta::allow_duplicates! {
                insta::assert_snapshot!(setup.says(verb, 3), @r"
            Error: k3s-vm is not running
              QEMU (pid PID) was killed, or crashed

            Next: k3s-vm start
            ");
            }
        }
        insta::assert_snapshot!(setup.says(&["kubectl", "get", "nodes"], 1), @r"
    Warning: k3s-vm is not running: QEMU (pid PID) was killed, or crashed; `k3s-vm start` starts it
    kubectl runs with PROJECT/web/.kube/config
    ");
        setup.says(&["logs"], 0);
        insta::assert_snapshot!(setup.says(&["start", "--no-wait"], 0), @r"
    [1/3] Checking the host …: all tools are there
    [2/3] Preparing the guest image … skipped: kubernetes v1.0.0, as the instance's disk has it
    Warning: QEMU (pid PID) was killed, or crashed; its disk is used as it is
    [3/3] Starting the VM …: QEMU 7.2.22 under tcg, pid PID
    ");
        assert_eq!(state(&setup), "running");
    });
}

#[test]
fn a_stop_after_the_kill_says_so_once() {
    isolated("ends::a_stop_after_the_kill_says_so_once", || {
        let setup = started(&Script::default());
        kill(pid(&setup));
        insta::assert_snapshot!(setup.says(&["stop"], 0), @"[1/1] Stopping the VM … skipped: it is not running: QEMU (pid PID) was killed, or crashed");
        insta::assert_snapshot!(setup.says(&["stop"], 0), @"[1/1] Stopping the VM … skipped: it is not running");
        assert!(!setup.project.root().join(".k3s-vm/vm.pid").exists());
    });
}

#[test]
fn a_guest_that_powered_itself_off_is_distinguished_from_a_kill() {
    isolated("ends::a_guest_that_powered_itself_off_is_distinguished_from_a_kill", || {
        let setup =
            started(&Script { exit_after: Some(testkit::script::Exit { ms: 1500, code: 0 }), ..Script::default() });
        until(|| state(&setup) == "stopped");
        insta::assert_snapshot!(setup.says(&["stop"], 0), @"[1/1] Stopping the VM … skipped: it is not running: QEMU (pid PID) ended: the guest powered off, reset before it was Ready, or gave up");
    });
}

#[test]
fn after_a_restart_of_the_host_no_pid_of_the_former_boot_is_believed() {
    isolated("ends::after_a_restart_of_the_host_no_pid_of_the_former_boot_is_believed", || {
        let setup = started(&Script::default());
        setup.says(&["stop"], 0);
        // The state file has the pid and start time of this test, but another boot id.
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
        let state_file =
            setup.state_file_of(std::process::id()).replace(boot.trim(), "00000000-0000-0000-0000-000000000000");
        setup.project.write(".k3s-vm/vm/state.json", &state_file);
        setup.project.write(".k3s-vm/vm.pid", &std::process::id().to_string());
        insta::assert_snapshot!(setup.says(&["ssh"], 3), @r"
    Error: k3s-vm is not running
      the host was restarted while it ran

    Next: k3s-vm start
    ");
        insta::assert_snapshot!(setup.says(&["start", "--no-wait"], 0), @r"
    [1/3] Checking the host …: all tools are there
    [2/3] Preparing the guest image … skipped: kubernetes v1.0.0, as the instance's disk has it
    Warning: the host was restarted while it ran; its disk is used as it is
    [3/3] Starting the VM …: QEMU 7.2.22 under tcg, pid PID
    ");
    });
}

/// Starts the program, waits for a moment of its work, and kills it.
fn kill_in_the_middle(setup: &Setup, arguments: &[&str], has_come: impl FnOnce(&mut Child)) {
    let mut program = setup.command(arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    has_come(&mut program);
    program.kill().unwrap();
    program.wait().unwrap();
}

/// Checks that every verb works after a program was killed.
fn all_verbs_work(make: impl Fn() -> Setup) {
    for verb in [&["start", "--no-wait"][..], &["stop", "--timeout", "1s"], &["reset", "--no-wait"]] {
        let setup = make();
        setup.says(&["status"], 0);
        setup.says(verb, 0);
        assert_eq!(state(&setup) == "running", verb[0] != "stop", "{verb:?}");
        setup.says(&["stop", "--timeout", "1s"], 0);
        setup.script(&Script::default());
        setup.says(&["start", "--no-wait"], 0);
        assert_eq!(state(&setup), "running");
    }
}

#[test]
fn the_program_is_killed_while_the_disk_is_made() {
    isolated("ends::the_program_is_killed_while_the_disk_is_made", || {
        all_verbs_work(|| {
            let setup = Setup::new(&Script::default());
            // The kernel kills it in the write that would make a file larger than this (setrlimit(2), RLIMIT_FSIZE).
            // The overlay is the first file that is larger.
            let mut program = Command::new("prlimit");
            program.arg("--fsize=98304").arg(env!("CARGO_BIN_EXE_k3s-vm")).args(["start", "--no-wait"]);
            setup.surround(&mut program);
            let status = program.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
            assert_eq!(status.signal(), Some(rustix::process::Signal::XFSZ.as_raw()), "{status}");
            assert!(!setup.vm_dir().join("disk.qcow2").exists(), "it was not in the middle");
            setup
        });
    });
}

#[test]
fn the_program_is_killed_while_qemu_comes_up() {
    isolated("ends::the_program_is_killed_while_qemu_comes_up", || {
        all_verbs_work(|| {
            let setup = Setup::new(&Script { greeting: Greeting::Hang, ..Script::default() });
            kill_in_the_middle(&setup, &["start"], |_| until(|| setup.vm_dir().join("qmp.sock").exists()));
            // The VM runs on and is found by its uuid, because the state file does not have its process yet.
            assert_eq!(state(&setup), "running");
            setup.script(&Script::default());
            setup
        });
    });
}

#[test]
fn the_program_is_killed_while_the_guest_boots() {
    isolated("ends::the_program_is_killed_while_the_guest_boots", || {
        all_verbs_work(|| {
            let setup =
                Setup::new(&Script { agent: AgentScript { absent: true, ..Default::default() }, ..Script::default() });
            kill_in_the_middle(&setup, &["start"], |program| {
                let mut lines = BufReader::new(program.stderr.take().unwrap()).lines();
                assert!(lines.any(|line| line.unwrap().contains("Starting the VM")));
            });
            assert!(is_alive(pid(&setup)));
            setup
        });
    });
}

#[test]
fn the_program_is_killed_while_it_resets() {
    isolated("ends::the_program_is_killed_while_it_resets", || {
        all_verbs_work(|| {
            let setup = started(&Script { ignore_quit: true, ..Script::default() });
            kill_in_the_middle(&setup, &["reset"], |program| {
                let mut lines = BufReader::new(program.stderr.take().unwrap()).lines();
                assert!(lines.any(|line| line.unwrap().contains("Preparing the guest image")));
            });
            setup
        });
    });
}
