//! Hosts on which KVM works, is missing, cannot be opened, hangs, or kills QEMU.

use std::path::Path;
use std::process::{Command, Stdio};

use testkit::Script;
use testkit::script::{Death, Probe};

use crate::kvm_host::{AMPLE, Host};

/// A file that nobody can write, not even root.
const CLOSED: &str = "/proc/sys/kernel/random/boot_id";

fn msr() -> Probe {
    let stderr = "qemu-system-x86_64: error: failed to set MSR 0x10a to 0x0\n\
                  qemu-system-x86_64: ../target/i386/kvm/kvm.c:2893: kvm_buf_set_msrs: Assertion `ret' failed.";
    Probe::Die(Death { stderr: stderr.to_owned(), code: 134 })
}

fn busy() -> Probe {
    let stderr = "ioctl(KVM_CREATE_VM) failed: 16 Device or resource busy\n\
                  qemu-system-x86_64: -accel kvm: failed to initialize kvm: Device or resource busy";
    Probe::Die(Death { stderr: stderr.to_owned(), code: 1 })
}

#[test]
fn kvm_is_used_once_a_guest_has_printed_its_line_and_not_tested_again() {
    let host = Host::new("auto", AMPLE, Probe::Print);
    insta::assert_snapshot!(host.start(0), @r"
    [1/4] Checking the host …: all tools are there
    [2/4] Preparing the guest image … skipped: kubernetes v1.0.0, built before
    [3/4] Choosing the accelerator …: kvm: a guest ran under it
    [4/4] Starting the VM …: QEMU 7.2.22 under kvm, pid PID
    ");
    let status = host.status();
    assert_eq!((status["accelerator"].as_str(), status.get("accelerator_reason")), (Some("kvm"), None));
    let words = std::fs::read(format!("/proc/{}/cmdline", status["pid"])).unwrap();
    let words = String::from_utf8_lossy(&words).replace('\0', " ");
    assert!(words.contains(" -accel kvm -cpu host "), "{words}");
    host.stop();
    insta::assert_snapshot!(host.start(0), @r"
    [1/4] Checking the host …: all tools are there
    [2/4] Preparing the guest image … skipped: kubernetes v1.0.0, as the instance's disk has it
    [3/4] Choosing the accelerator … skipped: kvm, which a guest has proved before
    [4/4] Starting the VM …: QEMU 7.2.22 under kvm, pid PID
    ");
    assert_eq!(host.probes(), 1);
    insta::assert_snapshot!(host.start(0), @r"
    [1/3] Checking the host …: all tools are there
    [2/3] Preparing the guest image … skipped: kubernetes v1.0.0, as the instance's disk has it
    [3/3] Starting the VM … skipped: it runs already, pid PID
    ");
}

#[test]
fn the_kvm_test_has_a_live_line_while_it_runs() {
    let host = Host::new("auto", AMPLE, Probe::Print);
    let said = host.says(&["--events", "json", "start", "--no-wait"], 0);
    let told: Vec<String> = said
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|event| event["task"] == "testing KVM")
        .map(|event| format!("{}: {}", event["event"].as_str().unwrap(), event["message"].as_str().unwrap_or_default()))
        .collect();
    assert_eq!(told, ["progress: a guest is to print a line within 10m", "task-finished: "]);
}

#[test]
fn a_host_without_kvm_emulates_and_says_what_to_do() {
    let host = Host::new("auto", AMPLE, Probe::Print);
    host.device(Path::new("/nonexistent/kvm"));
    insta::assert_snapshot!(host.start(0), @r"
    [1/4] Checking the host …: all tools are there
    [2/4] Preparing the guest image … skipped: kubernetes v1.0.0, built before
    Note: the VM is emulated, which is several times slower than KVM: there is no PROJECT/kvm; to change that: sudo modprobe kvm_intel (or kvm_amd; if that fails, turn on virtualisation in the firmware, or nested virtualisation where this host is itself a VM)
    [3/4] Choosing the accelerator …: tcg (KVM: there is no PROJECT/kvm)
    [4/4] Starting the VM …: QEMU 7.2.22 under tcg (KVM: there is no PROJECT/kvm), pid PID
    ");
    assert_eq!(host.status()["accelerator"], "tcg");
    let reason = host.setup.steady(host.status()["accelerator_reason"].as_str().unwrap());
    insta::assert_snapshot!(reason, @"KVM: there is no PROJECT/kvm");
    assert_eq!(host.probes(), 0);
}

#[test]
fn whoever_wants_kvm_only_gets_nothing_else_on_a_host_without_it() {
    let host = Host::new("kvm", AMPLE, Probe::Print);
    host.device(Path::new("/nonexistent/kvm"));
    insta::assert_snapshot!(host.start(69), @r"
    [1/4] Checking the host …: all tools are there
    [2/4] Preparing the guest image … skipped: kubernetes v1.0.0, built before
    [3/4] Choosing the accelerator …
    Error: KVM cannot be used: there is no PROJECT/kvm

    Next: sudo modprobe kvm_intel    # or kvm_amd; if that fails, turn on virtualisation in the firmware, or nested virtualisation where this host is itself a VM
    Next: k3s-vm start --accel auto    # emulates where KVM does not work
    ");
    assert_eq!(host.status()["state"], "absent");
}

#[test]
fn a_device_that_the_user_cannot_open_is_reported_with_the_remedy() {
    let host = Host::new("auto", AMPLE, Probe::Print);
    host.device(Path::new(CLOSED));
    insta::assert_snapshot!(host.start(0), @r#"
    [1/4] Checking the host …: all tools are there
    [2/4] Preparing the guest image … skipped: kubernetes v1.0.0, built before
    Note: the VM is emulated, which is several times slower than KVM: no permission for PROJECT/kvm: no group that one could join may open it (mode 0444); to change that: sudo chgrp kvm PROJECT/kvm && sudo chmod 0660 PROJECT/kvm && sudo usermod -aG kvm "$USER" (then log in anew)
    [3/4] Choosing the accelerator …: tcg (KVM: no permission for PROJECT/kvm)
    [4/4] Starting the VM …: QEMU 7.2.22 under tcg (KVM: no permission for PROJECT/kvm), pid PID
    "#);
    host.stop();
    host.wants("kvm", AMPLE);
    insta::assert_snapshot!(host.start(69), @r#"
    [1/4] Checking the host …: all tools are there
    [2/4] Preparing the guest image … skipped: kubernetes v1.0.0, as the instance's disk has it
    [3/4] Choosing the accelerator …
    Error: KVM cannot be used: no permission for PROJECT/kvm
      no group that one could join may open it (mode 0444)

    Next: sudo chgrp kvm PROJECT/kvm && sudo chmod 0660 PROJECT/kvm && sudo usermod -aG kvm "$USER"    # then log in anew
    Next: k3s-vm start --accel auto    # emulates where KVM does not work
    "#);
}

#[test]
fn the_group_that_may_open_the_device_is_named_and_a_user_who_joined_it_is_let_in() {
    let host = Host::new("auto", AMPLE, Probe::Print);
    let group = host.close_to_all_but_a_group();
    let said = |code| host.start_without_override(code).replace(&group, "GROUP");
    insta::assert_snapshot!(said(0), @r#"
    [1/4] Checking the host …: all tools are there
    [2/4] Preparing the guest image … skipped: kubernetes v1.0.0, built before
    Note: the VM is emulated, which is several times slower than KVM: no permission for PROJECT/kvm: it is open to the group GROUP; to change that: sudo usermod -aG GROUP "$USER" (then log in anew)
    [3/4] Choosing the accelerator …: tcg (KVM: no permission for PROJECT/kvm)
    [4/4] Starting the VM …: QEMU 7.2.22 under tcg (KVM: no permission for PROJECT/kvm), pid PID
    "#);
    host.stop();
    host.wants("kvm", AMPLE);
    insta::assert_snapshot!(said(69), @r#"
    [1/4] Checking the host …: all tools are there
    [2/4] Preparing the guest image … skipped: kubernetes v1.0.0, as the instance's disk has it
    [3/4] Choosing the accelerator …
    Error: KVM cannot be used: no permission for PROJECT/kvm
      it is open to the group GROUP

    Next: sudo usermod -aG GROUP "$USER"    # then log in anew
    Next: k3s-vm start --accel auto    # emulates where KVM does not work
    "#);
    host.set_mode(0o660);
    said(0);
    assert_eq!(host.status()["accelerator"], "kvm");
}

#[test]
fn guests_that_hang_under_kvm_are_given_up_ended_and_remembered() {
    let host = Host::new("auto", "1s", Probe::Hang(String::new()));
    insta::assert_snapshot!(host.start(0), @r"
    [1/4] Checking the host …: all tools are there
    [2/4] Preparing the guest image … skipped: kubernetes v1.0.0, built before
    Note: the VM is emulated, which is several times slower than KVM: guests hang on this host: the device opens, but a guest that was to print one line was silent for 1s
    [3/4] Choosing the accelerator …: tcg (KVM: guests hang on this host)
    [4/4] Starting the VM …: QEMU 7.2.22 under tcg (KVM: guests hang on this host), pid PID
    ");
    assert!(!host.is_probing(), "the guest that hangs was left running");
    let status = String::from_utf8(host.command(&["status"]).output().unwrap().stdout).unwrap();
    assert!(status.contains("under tcg (KVM: guests hang on this host)"), "{status}");
    host.stop();
    insta::assert_snapshot!(host.start(0), @r"
    [1/4] Checking the host …: all tools are there
    [2/4] Preparing the guest image … skipped: kubernetes v1.0.0, as the instance's disk has it
    [3/4] Choosing the accelerator … skipped: tcg (KVM: guests hang on this host), as it was tested before
    [4/4] Starting the VM …: QEMU 7.2.22 under tcg (KVM: guests hang on this host), pid PID
    ");
}

#[test]
fn where_only_kvm_is_wanted_hanging_guests_are_an_error() {
    let host = Host::new("kvm", "1s", Probe::Hang(String::new()));
    insta::assert_snapshot!(host.start(69), @r"
    [1/4] Checking the host …: all tools are there
    [2/4] Preparing the guest image … skipped: kubernetes v1.0.0, built before
    [3/4] Choosing the accelerator …
    Error: KVM cannot be used: guests hang on this host
      the device opens, but a guest that was to print one line was silent for 1s

    Next: k3s-vm start --set timeouts.kvm_test=1m    # tests again with more time, for a slow host
    Next: k3s-vm start --accel auto    # emulates where KVM does not work
    ");
}

#[test]
fn a_host_where_guests_hung_is_tested_again_with_more_time_only() {
    let host = Host::new("auto", "200ms", Probe::Hang(String::new()));
    host.start(0);
    host.stop();
    host.probe(Probe::Print);
    host.wants("auto", "100ms");
    host.start(0);
    assert_eq!(host.status()["accelerator"], "tcg");
    host.stop();
    host.wants("auto", AMPLE);
    host.start(0);
    assert_eq!(host.status()["accelerator"], "kvm");
}

#[test]
fn the_wish_for_kvm_only_does_not_believe_an_old_failure() {
    let host = Host::new("auto", AMPLE, msr());
    host.start(0);
    host.stop();
    host.probe(Probe::Print);
    host.wants("kvm", AMPLE);
    host.start(0);
    assert_eq!(host.status()["accelerator"], "kvm");
}

#[test]
fn a_qemu_that_dies_under_kvm_is_quoted_and_remembered() {
    let host = Host::new("auto", AMPLE, msr());
    insta::assert_snapshot!(host.start(0), @r"
    [1/4] Checking the host …: all tools are there
    [2/4] Preparing the guest image … skipped: kubernetes v1.0.0, built before
    Note: the VM is emulated, which is several times slower than KVM: QEMU dies under it: error: failed to set MSR 0x10a to 0x0
    [3/4] Choosing the accelerator …: tcg (KVM: QEMU dies under it)
    [4/4] Starting the VM …: QEMU 7.2.22 under tcg (KVM: QEMU dies under it), pid PID
    ");
    host.stop();
    insta::assert_snapshot!(host.start(0), @r"
    [1/4] Checking the host …: all tools are there
    [2/4] Preparing the guest image … skipped: kubernetes v1.0.0, as the instance's disk has it
    [3/4] Choosing the accelerator … skipped: tcg (KVM: QEMU dies under it), as it was tested before
    [4/4] Starting the VM …: QEMU 7.2.22 under tcg (KVM: QEMU dies under it), pid PID
    ");
    host.stop();
    assert_eq!(host.probes(), 1);
    host.wants("kvm", AMPLE);
    insta::assert_snapshot!(host.start(69), @r"
    [1/4] Checking the host …: all tools are there
    [2/4] Preparing the guest image … skipped: kubernetes v1.0.0, as the instance's disk has it
    [3/4] Choosing the accelerator …
    Error: KVM cannot be used: QEMU dies under it
      error: failed to set MSR 0x10a to 0x0

    End of the test guest's console:
      | qemu-system-x86_64: error: failed to set MSR 0x10a to 0x0
      | qemu-system-x86_64: ../target/i386/kvm/kvm.c:2893: kvm_buf_set_msrs: Assertion `ret' failed.

    Next: k3s-vm --debug start    # tests again and shows the command
    Next: k3s-vm start --accel auto    # emulates where KVM does not work
    ");
}

#[test]
fn what_passes_by_itself_is_not_remembered() {
    let host = Host::new("auto", AMPLE, busy());
    insta::assert_snapshot!(host.start(0), @r"
    [1/4] Checking the host …: all tools are there
    [2/4] Preparing the guest image … skipped: kubernetes v1.0.0, built before
    Note: the VM is emulated, which is several times slower than KVM: QEMU dies under it: -accel kvm: failed to initialize kvm: Device or resource busy
    [3/4] Choosing the accelerator …: tcg (KVM: QEMU dies under it)
    [4/4] Starting the VM …: QEMU 7.2.22 under tcg (KVM: QEMU dies under it), pid PID
    ");
    host.stop();
    host.probe(Probe::Print);
    host.start(0);
    assert_eq!(host.status()["accelerator"], "kvm");
}

#[test]
fn another_kernel_is_tested_anew() {
    let host = Host::new("auto", AMPLE, Probe::Print);
    host.start(0);
    host.stop();
    host.setup.project.write("image/kernel", "another one");
    host.start(0);
    assert_eq!(host.probes(), 2);
}

#[test]
fn a_verdict_that_cannot_be_read_is_none() {
    let host = Host::new("auto", AMPLE, Probe::Print);
    host.start(0);
    host.stop();
    std::fs::write(host.setup.programs.path().join("cache/k3s-vm/accelerator.json"), "{\"verdicts\": 1}").unwrap();
    host.start(0);
    assert_eq!((host.probes(), host.status()["accelerator"].as_str()), (2, Some("kvm")));
}

#[test]
fn ordered_emulation_does_not_look_at_kvm() {
    let host = Host::new("tcg", AMPLE, Probe::Print);
    insta::assert_snapshot!(host.start(0), @r"
    [1/3] Checking the host …: all tools are there
    [2/3] Preparing the guest image … skipped: kubernetes v1.0.0, built before
    [3/3] Starting the VM …: QEMU 7.2.22 under tcg, pid PID
    ");
    assert_eq!((host.probes(), host.status().get("accelerator_reason")), (0, None));
}

#[test]
fn a_reset_that_wants_kvm_where_there_is_none_leaves_the_old_instance_alone() {
    let host = Host::new("tcg", AMPLE, Probe::Print);
    host.start(0);
    let before = host.status()["pid"].clone();
    host.wants("kvm", AMPLE);
    host.device(Path::new("/nonexistent/kvm"));
    host.says(&["reset", "--no-wait"], 69);
    assert_eq!(host.status()["pid"], before);
}

#[test]
fn an_interrupt_ends_the_guest_that_is_to_prove_kvm() {
    let host = Host::new("auto", AMPLE, Probe::Hang(String::new()));
    let mut start = host.command(&["start", "--no-wait"]).stderr(Stdio::piped()).spawn().unwrap();
    testkit::wait::until(|| {
        assert_eq!(start.try_wait().unwrap(), None, "it ended before the guest ran");
        host.probes() > 0
    });
    assert!(Command::new("kill").args(["-INT", &start.id().to_string()]).status().unwrap().success());
    let output = start.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    insta::assert_snapshot!(host.setup.steady(&String::from_utf8_lossy(&output.stderr)), @r"
    [1/4] Checking the host …: all tools are there
    [2/4] Preparing the guest image … skipped: kubernetes v1.0.0, built before
    [3/4] Choosing the accelerator …
    Error: interrupted while choosing the accelerator
      interrupted while kvm was tested
      k3s-vm has no VM and no disk

    Next: k3s-vm start
    ");
    assert!(!host.is_probing(), "the guest was left running");
}

#[test]
fn a_qemu_that_is_too_old_is_reported_before_kvm_is_tested() {
    for accel in ["kvm", "auto", "tcg"] {
        let host = Host::new(accel, AMPLE, Probe::Print);
        host.setup.script(&Script { version: "5.2.0".to_owned(), ..Script::default() });
        let said = host.start(69);
        let (_, error) = said.split_once("Error: ").unwrap();
        insta::allow_duplicates! {
            insta::assert_snapshot!(error, @r"
            QEMU 5.2.0 at PROGRAMS/qemu-system-x86_64 is too old
              7.2 or newer is needed

            Next: apt-get install qemu-system-x86 (Debian 12, Ubuntu 23.04, or newer)
            ");
        }
        assert_eq!(host.probes(), 0);
    }
}

#[test]
fn a_missing_qemu_is_reported_before_kvm_is_tested() {
    for accel in ["kvm", "auto", "tcg"] {
        let host = Host::new(accel, AMPLE, Probe::Print);
        let programs = host.setup.programs.path();
        std::fs::remove_file(programs.join("qemu-system-x86_64")).unwrap();
        // No other program is lacking; this one is never run.
        for name in ["ssh", "ssh-keygen"] {
            std::os::unix::fs::symlink(programs.join("qemu-img"), programs.join(name)).unwrap();
        }
        let output = host.command(&["start", "--no-wait"]).env("PATH", programs).output().unwrap();
        let said = host.setup.steady(&String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(69), "{said}");
        // What follows depends on this host's package manager.
        assert!(said.contains("Error: this machine lacks qemu-system-x86_64\n"), "{said}");
        assert!(said.contains("which runs the VM\n") && said.contains("--yes"), "{said}");
    }
}
