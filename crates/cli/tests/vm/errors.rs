//! Starts that cannot succeed: each error with its whole text and its exit code.

use testkit::Script;
use testkit::script::{AgentScript, ConsoleLine, Death, Program};

use crate::setup::Setup;

#[test]
fn qemu_dies_at_once() {
    let death = Death { stderr: "qemu-system-x86_64: -machine: unsupported machine type".to_owned(), code: 1 };
    let setup = Setup::new(&Script { die: Some(death), ..Script::default() });
    insta::assert_snapshot!(setup.says(&["start"], 5), @r"
    [1/10] Checking the host …: all tools are there
    [2/10] Preparing the guest image … skipped: kubernetes v1.0.0, built before
    [3/10] Starting the VM …
    Error: QEMU ended at once (exit status: 1)
      -machine: unsupported machine type

    End of PROJECT/.k3s-vm/vm.log:
      | qemu-system-x86_64: -machine: unsupported machine type

    Next: k3s-vm --debug start    # shows the command that was run
    ");
}

#[test]
fn the_guest_panics_while_it_boots() {
    let panic = "[    1.234567] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)";
    let console = vec![ConsoleLine { after_ms: 300, text: panic.to_owned() }];
    let agent = AgentScript { absent: true, ..Default::default() };
    let setup = Setup::new(&Script { console, agent, ..Script::default() });
    insta::assert_snapshot!(setup.says(&["start"], 5), @r"
    [1/10] Checking the host …: all tools are there
    [2/10] Preparing the guest image … skipped: kubernetes v1.0.0, built before
    [3/10] Starting the VM …: QEMU 7.2.22 under tcg, pid PID
    [4/10] Booting the guest …
    Error: the guest cannot continue
      Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)

    End of PROJECT/.k3s-vm/vm.log:
      | [    1.234567] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)

    Next: k3s-vm logs    # the whole console
    Next: k3s-vm reset   # a new disk
    ");
}

#[test]
fn the_guest_stays_silent_until_the_deadline() {
    let agent = AgentScript { absent: true, ..Default::default() };
    let console = vec![ConsoleLine { after_ms: 0, text: "Loading initial ramdisk".to_owned() }];
    let setup = Setup::new(&Script { console, agent, ..Script::default() });
    insta::assert_snapshot!(setup.says(&["start", "--timeout", "3s"], 4), @r"
    [1/10] Checking the host …: all tools are there
    [2/10] Preparing the guest image … skipped: kubernetes v1.0.0, built before
    [3/10] Starting the VM …: QEMU 7.2.22 under tcg, pid PID
    [4/10] Booting the guest …
    Error: gave up waiting for the cluster's kubeconfig in the guest after SECONDS s
      the guest agent does not answer yet

    End of PROJECT/.k3s-vm/vm.log:
      | Loading initial ramdisk

    Next: k3s-vm start --timeout 30m    # on a slow host; it continues from here
    Next: k3s-vm logs                   # the whole console
    ");
}

/// A guest that never has a kubeconfig, with this state of the cluster's service and this free space.
fn sick(systemctl: &str, free: u64) -> Script {
    let program = |command: &str, stdout: String| Program { command: command.to_owned(), stdout, ..Program::default() };
    let disk = format!("/dev/vda 20466256 912344 {free} 5% /\n");
    let programs = vec![
        program("systemctl show", format!("{systemctl}\n{disk}")),
        program("journalctl", "panic: database disk image is malformed\nexit status 2\n".to_owned()),
    ];
    Script { agent: AgentScript { programs, ..AgentScript::default() }, ..Script::default() }
}

#[test]
fn the_cluster_of_the_guest_ends_again_and_again() {
    let setup = Setup::new(&sick("ActiveState=failed\nNRestarts=9", 18_489_168));
    insta::assert_snapshot!(setup.says(&["start"], 5), @r"
    [1/10] Checking the host …: all tools are there
    [2/10] Preparing the guest image … skipped: kubernetes v1.0.0, built before
    [3/10] Starting the VM …: QEMU 7.2.22 under tcg, pid PID
    [4/10] Booting the guest …
    Error: kubernetes.service, which is the cluster, does not stay up in the guest
      it failed, and systemd has given it up

    End of the journal of kubernetes.service:
      | panic: database disk image is malformed
      | exit status 2

    Next: k3s-vm ssh -- journalctl -u kubernetes.service -e    # all it said
    Next: k3s-vm reset    # a new disk; data on the old one are lost
    ");
}

#[test]
fn the_disk_of_the_guest_is_full() {
    let setup = Setup::new(&sick("ActiveState=active\nNRestarts=0", 12));
    insta::assert_snapshot!(setup.says(&["start"], 5), @r"
    [1/10] Checking the host …: all tools are there
    [2/10] Preparing the guest image … skipped: kubernetes v1.0.0, built before
    [3/10] Starting the VM …: QEMU 7.2.22 under tcg, pid PID
    [4/10] Booting the guest …
    Error: the guest's disk is full
      the cluster cannot write, so it does not become ready

    End of the journal of kubernetes.service:
      | panic: database disk image is malformed
      | exit status 2

    Next: k3s-vm ssh -- du -xh -d3 /var | sort -h | tail    # what takes the space
    Next: k3s-vm reset --disk 40GiB    # a new, larger disk; data on the old one are lost
    ");
}

#[test]
fn qemu_is_too_old() {
    let setup = Setup::new(&Script { version: "5.2.0".to_owned(), ..Script::default() });
    let text = setup.says(&["start"], 69);
    assert!(text.contains("QEMU 5.2.0") && text.contains("too old"), "{text}");
}

#[test]
fn all_mistakes_of_the_configuration_are_reported_at_once() {
    let setup = Setup::new(&Script::default());
    setup.project.write(".k3s-vm/config.toml", "[ports]\napi = 0\n[vm]\nmemory = \"much\"\naccel = \"hvf\"\n");
    setup.project.write(".env", "WEB_PORT=eighty\n");
    insta::assert_snapshot!(setup.says(&["start"], 2), @r#"
    Error: the configuration has 4 mistakes
      .k3s-vm/config.toml:2: ports.api = 0: not a port (1 to 65535)
      WEB_PORT=eighty in .env: not a port (1 to 65535)
      .k3s-vm/config.toml:4: vm.memory = "much": not a size such as "4GiB"
      .k3s-vm/config.toml:5: vm.accel = "hvf": must be one of "auto", "tcg", "kvm"

    Next: correct it where it stands, then run the command again
    "#);
}

#[test]
fn there_is_no_project() {
    let setup = Setup::new(&Script::default());
    let directory = tempfile::tempdir().unwrap();
    let output = setup.command(&["start"]).current_dir(directory.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr).replace(&directory.path().display().to_string(), "DIRECTORY");
    insta::assert_snapshot!(text, @r"
    Error: no project at DIRECTORY or above it
      a project is a directory that holds `.k3s-vm/`

    Next: cd to the project, or name it with --project DIR
    Next: mkdir -p .k3s-vm/manifests    # makes this directory a project
    ");
}

#[test]
fn a_verb_that_needs_a_running_vm_says_so() {
    let setup = Setup::new(&Script::default());
    for verb in [&["ssh"][..], &["apply"], &["load", "image.tar"]] {
        insta::allow_duplicates! {
            insta::assert_snapshot!(setup.says(verb, 3), @r"
            Error: k3s-vm is not running

            Next: k3s-vm start
            ");
        }
    }
    insta::assert_snapshot!(setup.says(&["kubectl", "get", "nodes"], 3), @r"
    Error: there is no cluster to talk to yet
      PROJECT/web/.kube/config does not exist

    Next: k3s-vm start
    ");
    insta::assert_snapshot!(setup.says(&["logs"], 3), @r"
    Error: k3s-vm has no log yet
      PROJECT/.k3s-vm/vm.log does not exist

    Next: k3s-vm start
    ");
}

#[test]
fn a_broken_manifest_is_reported_before_anything_boots() {
    let setup = Setup::new(&Script::default());
    setup.project.write(".k3s-vm/manifests/base.json", "{\"apiVersion\": \"v1\",\n \"kind\": }\n");
    setup.project.write(".k3s-vm/manifests/web.yaml", "kind: Service\nmetadata: {name: web}\n");
    insta::assert_snapshot!(setup.says(&["start"], 2), @r"
    Error: the manifests have 2 mistakes
      .k3s-vm/manifests/base.json:2:10: expected value
      .k3s-vm/manifests/web.yaml:1: apiVersion is missing

    Next: correct the manifests, then: k3s-vm apply
    ");
    assert!(!setup.vm_dir().join("qmp.sock").exists(), "QEMU was started");
}

#[test]
fn it_is_not_clear_where_a_web_port_outside_of_the_node_ports_leads() {
    let setup = Setup::new(&Script::default());
    setup.project.write(".env", "WEB_PORT=8080\n");
    insta::assert_snapshot!(setup.says(&["start"], 2), @r"
    Error: it is not clear which NodePort WEB_PORT=8080 leads to
      8080 itself cannot be a NodePort, which lie in 30000 to 32767
      no Service of the manifests has a nodePort

    Next: give one Service in .k3s-vm/manifests/ a nodePort, or name the one you mean as web.service in .k3s-vm/config.toml
    ");
}
