//! VMs while no command runs, and guests that reset again and again.

use testkit::Script;
use testkit::script::{AgentScript, ConsoleLine, FLOODED};

use crate::idle::{all_supervisors, only};
use crate::process::{is_alive, kill, pid, state, until};
use crate::setup::Setup;

/// How many mebibytes the guest has printed.
fn flooded(setup: &Setup) -> u64 {
    let text = std::fs::read_to_string(setup.vm_dir().join(FLOODED)).unwrap_or_default();
    text.parse().unwrap_or_default()
}

fn log_size(setup: &Setup) -> u64 {
    std::fs::metadata(setup.project.root().join(".k3s-vm/vm.log")).unwrap().len() >> 20
}

#[test]
fn a_guest_that_printed_without_end_filled_the_disk_while_no_command_ran() {
    let setup = Setup::new(&Script { flood: true, ..Script::default() });
    setup.says(&["start", "--no-wait"], 0);
    until(|| flooded(&setup) >= 400);
    // The log has the bound and what was printed since the last check.
    let (printed, left) = (flooded(&setup), log_size(&setup));
    assert!(left < 300, "{left} MiB of {printed} are in the log");
    // A log that was removed by name is still bounded, because QEMU still writes to it.
    let log = setup.project.root().join(".k3s-vm/vm.log");
    let held = std::fs::File::open(&log).unwrap();
    std::fs::remove_file(&log).unwrap();
    let before = flooded(&setup);
    until(|| flooded(&setup) >= before + 400);
    assert!(held.metadata().unwrap().len() >> 20 < 300);
}

#[test]
fn a_supervisor_that_was_killed_is_replaced_by_the_next_verb_and_ends_with_the_vm() {
    let setup = Setup::new(&Script::default());
    setup.program("ssh", "#!/bin/sh\nexit 0\n");
    setup.says(&["start", "--no-wait"], 0);
    let (first, _) = only(|| all_supervisors(&setup));
    kill(first);
    setup.says(&["ssh", "true"], 0);
    let (second, _) = only(|| all_supervisors(&setup));
    assert_ne!(second, first);
    // The next VM has its own supervisor, even if that of the previous one is still running when it starts.
    setup.says(&["reset", "--no-wait"], 0);
    only(|| all_supervisors(&setup));
    setup.says(&["stop", "--power-off"], 0);
    until(|| all_supervisors(&setup).is_empty());
}

/// A guest that prints a reason and resets.
fn resetting() -> Script {
    let console = vec![
        ConsoleLine { after_ms: 0, text: "[    0.9] initrd: cannot mount the root disk".to_owned() },
        ConsoleLine { after_ms: 0, text: "[    1.0] reboot: Restarting system".to_owned() },
    ];
    let agent = AgentScript { absent: true, ..AgentScript::default() };
    Script { console, agent, reset_after_ms: Some(300), ..Script::default() }
}

#[test]
fn a_guest_that_could_not_boot_began_again_and_again_until_the_deadline() {
    let setup = Setup::new(&resetting());
    insta::assert_snapshot!(setup.says(&["start"], 5), @r"
    [1/10] Checking the host …: all tools are there
    [2/10] Preparing the guest image … skipped: kubernetes v1.0.0, built before
    [3/10] Starting the VM …: QEMU 7.2.22 under tcg, pid PID
    [4/10] Booting the guest …
    Error: the guest ended before its cluster was Ready
      it reset or powered itself off; until then either ends QEMU, since what cannot boot would begin again and again

    End of PROJECT/.k3s-vm/vm.log:
      | [    0.9] initrd: cannot mount the root disk
      | [    1.0] reboot: Restarting system

    Next: k3s-vm logs    # the whole console
    Next: k3s-vm reset   # a new disk
    ");
}

#[test]
fn a_guest_that_nobody_waits_for_does_not_begin_again_and_again_either() {
    let setup = Setup::new(&resetting());
    setup.says(&["start", "--no-wait"], 0);
    until(|| state(&setup) == "stopped");
    let text = setup.says(&["stop"], 0);
    assert!(text.contains("the guest powered off, reset before it was Ready, or gave up"), "{text}");
}

#[test]
fn a_guest_that_is_up_may_reset_although_nobody_has_waited_for_it() {
    let setup = Setup::new(&Script::default());
    setup.says(&["start", "--no-wait"], 0);
    let has = |command: &str| Script::calls(&setup.vm_dir()).iter().any(|call| call == command);
    until(|| has("set-action"));
    let vm = pid(&setup);
    let signal = std::process::Command::new("kill").args(["-USR1", &vm.to_string()]).status().unwrap();
    assert!(signal.success());
    until(|| has("guest reset"));
    // It answers after the reset.
    assert_eq!(state(&setup), "running");
    assert!(is_alive(vm));
}
