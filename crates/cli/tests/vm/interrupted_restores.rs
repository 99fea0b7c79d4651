//! Restores whose program is killed at each step: the next verb ends the QEMU that is left, and no RAM is used twice.

use std::collections::BTreeMap;

use serde_json::Value;
use testkit::Script;

use crate::interrupts::{Verb, count, guest, ready, started};
use crate::process::{is_alive, pid, state};
use crate::setup::Setup;

/// The commands of a restore at which the program is killed, and whether QEMU still executes the command.
const MOMENTS: [(&str, bool); 6] = [
    ("migrate-set-capabilities", true),
    ("getfd", true),
    ("migrate-incoming", false),
    ("migrate-incoming", true),
    ("cont", false),
    ("cont", true),
];

fn usual() -> Script {
    Script { agent: guest(0), ..Script::default() }
}

/// A QEMU that never answers this command.
fn silent_at(command: &str, carried_out: bool) -> Script {
    Script { unanswered: BTreeMap::from([(command.to_owned(), carried_out)]), ..usual() }
}

fn state_file(setup: &Setup) -> Value {
    let text = setup.project.read(".k3s-vm/vm/state.json");
    serde_json::from_str(&text).unwrap()
}

/// Kills the verb `arguments` when QEMU has received `command`, and starts the VM with the usual QEMU. Returns the
/// output of the start, and whether QEMU is another process.
fn killed(setup: &Setup, arguments: &[&str], (command, carried_out): (&str, bool)) -> (String, bool) {
    setup.script(&silent_at(command, carried_out));
    let before = count(setup, command);
    Verb::begin(setup, arguments).comes_to(command, before).killed();
    assert!(
        state_file(setup)["restoring"].is_string(),
        "{command}: the state file does not say that it is being restored"
    );
    let left = pid(setup);
    setup.script(&usual());
    let said = setup.says(&["start", "--no-wait"], 0);
    assert_eq!(state(setup), "running");
    assert!(state_file(setup)["restoring"].is_null());
    let is_another = pid(setup) != left;
    assert_eq!(is_alive(left), !is_another, "{command}: the QEMU that was left still runs");
    (said, is_another)
}

#[test]
fn a_resume_that_was_killed_left_a_qemu_that_was_taken_for_a_running_vm() {
    for moment in MOMENTS {
        let setup = started(&usual());
        ready(&setup);
        setup.says(&["stop"], 0);
        let (said, is_another) = killed(&setup, &["start", "--no-wait"], moment);
        // Where the guest has resumed, it runs on.
        assert_eq!(is_another, moment != ("cont", true), "{moment:?}: {said}");
        let ended = said.contains("a command was killed while it restored the VM");
        assert_eq!(ended, is_another, "{moment:?}: {said}");
        // The RAM may have been used: its disk is booted.
        assert!(!said.contains("Resuming the VM"), "{moment:?}: {said}");
        let names = std::fs::read_dir(setup.vm_dir()).unwrap().map(|entry| entry.unwrap().file_name());
        let left: Vec<_> = names.filter(|name| name.to_string_lossy().starts_with("suspended.")).collect();
        assert!(left.is_empty(), "{moment:?}: {left:?}");
    }
}

#[test]
fn a_restore_that_was_killed_left_a_disk_whose_guest_had_never_run() {
    for moment in MOMENTS {
        let setup = started(&usual());
        ready(&setup);
        setup.says(&["snapshot", "save", "seeded"], 0);
        let (said, is_another) = killed(&setup, &["snapshot", "restore", "seeded"], moment);
        assert_eq!(is_another, moment != ("cont", true), "{moment:?}: {said}");
        assert_eq!(said.contains("a command was killed while it restored the VM"), is_another, "{moment:?}: {said}");
    }
}

#[test]
fn ram_that_was_put_back_after_the_disk_was_used_is_not_resumed() {
    let setup = started(&usual());
    ready(&setup);
    setup.says(&["stop"], 0);
    let suspended = || {
        let entries = std::fs::read_dir(setup.vm_dir()).unwrap().map(|entry| entry.unwrap().path());
        let is_one = |path: &std::path::PathBuf| path.file_name().unwrap().to_string_lossy().starts_with("suspended.");
        entries.filter(is_one).collect::<Vec<_>>()
    };
    let saved: Vec<_> = suspended().into_iter().map(|path| (std::fs::read(&path).unwrap(), path)).collect();
    assert_eq!(saved.len(), 3, "{saved:?}");
    setup.says(&["start", "--no-wait"], 0);
    setup.says(&["stop", "--power-off"], 0);
    assert!(suspended().is_empty());
    for (content, path) in saved {
        std::fs::write(path, content).unwrap();
    }
    let said = setup.says(&["start", "--no-wait"], 0);
    assert!(
        said.contains("the suspended RAM is not used: the disk has been in use since; booting from the disk"),
        "{said}"
    );
}
