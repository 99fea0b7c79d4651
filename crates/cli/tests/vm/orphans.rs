//! VMs whose project is gone, projects that were moved or copied, and processes that only look like ours.

use std::fs;
use std::net::TcpListener;

use testkit::Script;

use crate::isolation::isolated;
use crate::process::{Stranger, is_alive, pid, state, until};
use crate::setup::Setup;

/// A QEMU that opens its ports.
fn listening() -> Script {
    Script { listen: true, ..Script::default() }
}

fn started() -> Setup {
    let setup = Setup::new(&listening());
    setup.says(&["start", "--no-wait"], 0);
    setup
}

/// Removes a directory in which a supervisor may be creating a file at the same time.
fn remove_all(directory: &std::path::Path) {
    until(|| fs::remove_dir_all(directory).is_ok());
}

#[test]
fn a_vm_whose_project_was_removed_is_reported_and_ended_by_reset() {
    isolated("orphans::a_vm_whose_project_was_removed_is_reported_and_ended_by_reset", || {
        let gone = started();
        let orphan = pid(&gone);
        let directory = gone.project.root().to_path_buf();
        remove_all(&directory);
        let setup = Setup::beside(&gone, &listening());
        let says =
            |arguments: &[&str], code| setup.says(arguments, code).replace(&directory.display().to_string(), "GONE");

        insta::assert_snapshot!(says(&["start", "--no-wait"], 6), @r"
        [1/3] Checking the host …: all tools are there
        [2/3] Preparing the guest image … skipped: kubernetes v1.0.0, built before
        [3/3] Starting the VM …
        Error: ports API_PORT, SSH_PORT, WEB_PORT on 127.0.0.1 are taken
          pid PID is a VM that the project GONE left behind; its directory is gone; it listens on 127.0.0.1:API_PORT, 127.0.0.1:SSH_PORT, 127.0.0.1:WEB_PORT

        Next: kill PID    # ends it alone; nothing can use it any more
        Next: k3s-vm reset    # ends it, too, and makes this project's cluster anew
        Next: or choose another port: ports.api in .k3s-vm/config.toml, ports.ssh in .k3s-vm/config.toml, WEB_PORT in .env
        ");
        assert!(is_alive(orphan));
        insta::assert_snapshot!(says(&["stop"], 0), @r"
        [1/1] Stopping the VM … skipped: it is not running
        Note: pid PID is a VM that the project GONE left behind; its directory is gone; it listens on 127.0.0.1:API_PORT, 127.0.0.1:SSH_PORT, 127.0.0.1:WEB_PORT; `kill PID` or `k3s-vm reset` ends it
        ");
        assert!(is_alive(orphan));
        let status = String::from_utf8(setup.run(&["status"]).stdout).unwrap();
        insta::assert_snapshot!(setup.steady(&status).replace(&directory.display().to_string(), "GONE"), @r"
        Instance  k3s-vm
        Project   PROJECT
        State     stopped; the next start boots its disk
        Next      k3s-vm start

        In the way:
          pid PID is a VM that the project GONE left behind; its directory is gone; it listens on 127.0.0.1:API_PORT, 127.0.0.1:SSH_PORT, 127.0.0.1:WEB_PORT
            kill PID    # ends it alone; nothing can use it any more
            k3s-vm reset    # ends it, too, and makes this project's cluster anew
        ");
        insta::assert_snapshot!(says(&["reset", "--no-wait"], 0), @r"
        [1/4] Checking the host …: all tools are there
        [2/4] Preparing the guest image … skipped: kubernetes v1.0.0, built before
        Note: pid PID is a VM that the project GONE left behind; its directory is gone; it listens on 127.0.0.1:API_PORT, 127.0.0.1:SSH_PORT, 127.0.0.1:WEB_PORT: ending it
        [3/4] Destroying the old instance …: disk removed; ended a VM of a project that is gone
        [4/4] Starting the VM …: QEMU 7.2.22 under tcg, pid PID
        ");
        assert!(!is_alive(orphan));
        assert_eq!(state(&setup), "running");
        assert_eq!(setup.json(&["status", "-o", "json"])["orphans"], serde_json::json!([]));
    });
}

#[test]
fn a_project_that_was_removed_and_made_again_stops_its_former_vm() {
    isolated("orphans::a_project_that_was_removed_and_made_again_stops_its_former_vm", || {
        let setup = started();
        let orphan = pid(&setup);
        remove_all(&setup.project.root().join(".k3s-vm/vm"));
        fs::remove_file(setup.project.root().join(".k3s-vm/vm.pid")).unwrap();
        setup.script(&listening());
        assert_eq!(state(&setup), "orphan");
        insta::assert_snapshot!(setup.says(&["stop"], 0), @"[1/1] Stopping the VM …: ended by force: the guest did not power off in time");
        assert!(!is_alive(orphan));
        setup.says(&["start", "--no-wait"], 0);
    });
}

#[test]
fn a_project_that_moved_keeps_its_vm_and_a_reset_elsewhere_leaves_it_alone() {
    isolated("orphans::a_project_that_moved_keeps_its_vm_and_a_reset_elsewhere_leaves_it_alone", || {
        let setup = started();
        let vm = pid(&setup);
        let (old, new) = (setup.project.root().to_path_buf(), setup.project.root().with_file_name("moved project"));
        fs::rename(&old, &new).unwrap();
        let there = |arguments: &[&str]| {
            let output = setup.command(arguments).current_dir(&new).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        };
        let status: serde_json::Value = serde_json::from_str(&there(&["status", "-o", "json"])).unwrap();
        assert_eq!((&status["state"], status["pid"].as_u64()), (&"running".into(), Some(vm)));
        // Another project on the same ports: the VM is named as that of the project at its new place.
        let other = Setup::beside(&setup, &listening());
        let moved = |text: String| text.replace(&new.display().to_string(), "MOVED");
        insta::assert_snapshot!(moved(other.says(&["reset", "--no-wait"], 6)), @r"
        [1/4] Checking the host …: all tools are there
        [2/4] Preparing the guest image … skipped: kubernetes v1.0.0, built before
        [3/4] Destroying the old instance …
        Error: ports API_PORT, SSH_PORT, WEB_PORT on 127.0.0.1 are taken
          pid PID is the VM k3s-vm of the project MOVED; it listens on 127.0.0.1:API_PORT, 127.0.0.1:SSH_PORT, 127.0.0.1:WEB_PORT

        Next: k3s-vm --project 'MOVED' stop
        Next: or choose another port: ports.api in .k3s-vm/config.toml, ports.ssh in .k3s-vm/config.toml, WEB_PORT in .env
        ");
        assert!(is_alive(vm));
        // ssh finds the keys at their new place.
        setup.program("ssh", "#!/bin/sh\ncat \"$2\"\n");
        assert!(there(&["ssh"]).contains("moved project/.k3s-vm/vm/id_ed25519"));
        there(&["stop"]);
        assert!(!is_alive(vm));
        fs::rename(&new, &old).unwrap();
    });
}

#[test]
fn a_copy_of_a_project_has_no_power_over_the_vm_of_the_original() {
    isolated("orphans::a_copy_of_a_project_has_no_power_over_the_vm_of_the_original", || {
        let setup = started();
        let vm = pid(&setup);
        let copy = tempfile::tempdir().unwrap();
        let copied = std::process::Command::new("cp").arg("-a").arg(setup.project.root()).arg(copy.path()).status();
        assert!(copied.unwrap().success());
        let in_copy = |arguments: &[&str]| {
            let output = setup.command(arguments).current_dir(copy.path().join("project")).output().unwrap();
            (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
        };
        let (_, status) = in_copy(&["status", "-o", "json"]);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&status).unwrap()["state"], "stopped");
        assert_eq!(in_copy(&["stop"]).0, Some(0));
        assert_eq!(in_copy(&["reset", "--no-wait"]).0, Some(6));
        assert!(is_alive(vm));
        assert_eq!(pid(&setup), vm);
    });
}

#[test]
fn a_reset_that_would_find_its_ports_taken_destroys_nothing() {
    isolated("orphans::a_reset_that_would_find_its_ports_taken_destroys_nothing", || {
        let setup = Setup::new(&listening());
        setup.says(&["start", "--no-wait"], 0);
        setup.says(&["stop"], 0);
        let _listener = TcpListener::bind(("127.0.0.1", setup.ssh)).unwrap();
        let text = setup.says(&["reset", "--no-wait"], 6);
        assert!(text.contains("SSH_PORT on 127.0.0.1 is taken"), "{text}");
        assert_eq!(state(&setup), "stopped", "the disk is gone");
    });
}

/// Law 2: never signal a process that is not proven to be this project's.
#[test]
fn what_only_looks_like_ours_is_never_signalled() {
    isolated("orphans::what_only_looks_like_ours_is_never_signalled", || {
        let setup = Setup::new(&Script::default());
        let other = Setup::new(&Script::default());
        other.says(&["start", "--no-wait"], 0);
        let root = setup.project.root();
        let (ours, theirs) = (root.join(".k3s-vm/vm"), other.project.root().join(".k3s-vm/vm"));
        let our_pid_file = root.join(".k3s-vm/vm.pid").display().to_string();
        let their_pid_file = other.project.root().join(".k3s-vm/vm.pid").display().to_string();
        let qemu = "qemu-system-x86_64";
        let strangers = [
            // Names and directories that do not match.
            (vec![qemu, "-name", "k3s-vm"], root.to_path_buf()),
            (vec![qemu, "-name", "k3s-vm"], ours.clone()),
            (vec![qemu, "-name", "web", "-pidfile", &our_pid_file], ours.clone()),
            (vec![qemu, "-pidfile", &our_pid_file], ours.clone()),
            (vec![qemu, "-name", "k3s-vmware", "-pidfile", &our_pid_file], ours.clone()),
            (vec![qemu, "-name", "k3s-vm-ci", "-pidfile", &our_pid_file], ours.clone()),
            (vec![qemu, "-name k3s-vm -pidfile", &our_pid_file], ours.clone()),
            // Another project's QEMU without its state file, and a QEMU with our pid file in another project.
            (vec![qemu, "-name", "k3s-vm", "-pidfile", &their_pid_file], theirs.clone()),
            (vec![qemu, "-name", "k3s-vm", "-pidfile", &our_pid_file], theirs.clone()),
            // Commands of users who search for our QEMU.
            (vec!["vi", "-name", "k3s-vm", "-pidfile", &our_pid_file], ours.clone()),
            (vec!["pgrep", "-f", "qemu.*-name k3s-vm"], root.to_path_buf()),
            (vec!["tail", "-f", &our_pid_file], ours.clone()),
        ];
        let strangers: Vec<(String, Stranger)> =
            strangers.iter().map(|(words, directory)| (words.join(" "), Stranger::new(words, directory))).collect();
        let all_live = |after: &str| {
            for (words, stranger) in &strangers {
                assert!(stranger.is_alive(), "after {after}: {words}");
            }
        };
        for verb in ["status", "start", "status", "start", "stop", "stop", "start", "reset", "stop", "reset"] {
            let flags: &[&str] = if matches!(verb, "start" | "reset") { &[verb, "--no-wait"] } else { &[verb] };
            let output = setup.run(flags);
            assert!(output.status.success(), "{verb}: {}", String::from_utf8_lossy(&output.stderr));
            all_live(verb);
        }
        // The pids of strangers in every file that has a pid.
        for (_, stranger) in &strangers {
            setup.says(&["stop"], 0);
            setup.project.write(".k3s-vm/vm.pid", &stranger.pid().to_string());
            setup.project.write(".k3s-vm/vm/state.json", &setup.state_file_of(stranger.pid()));
            setup.says(&["stop"], 0);
            setup.project.write(".k3s-vm/vm/state.json", &setup.state_file_of(stranger.pid()));
            setup.says(&["start", "--no-wait"], 0);
        }
        all_live("misleading files");
        assert_eq!(state(&other), "running");
    });
}
