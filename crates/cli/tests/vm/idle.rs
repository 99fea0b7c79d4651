//! A VM that stands still: by order, by itself, and what lets it go on.

use std::collections::BTreeMap;

use testkit::Script;
use testkit::wait::value;

use crate::forwards::{ask, pong};
use crate::process::{is_alive, kill, pid, state, until};
use crate::setup::Setup;

/// A VM whose web port answers `pong`, with these lines at the head of its configuration.
fn started(head: &str) -> Setup {
    let setup = Setup::new(&Script::default());
    let config = setup.project.read(".k3s-vm/config.toml");
    setup.project.write(".k3s-vm/config.toml", &format!("{head}{config}"));
    let guest_ports = BTreeMap::from([(setup.web, pong())]);
    setup.script(&Script { listen: true, guest_ports, ..Script::default() });
    setup.says(&["start", "--no-wait"], 0);
    setup
}

/// The supervisors that listen at a line of the project's VM, or pause it when it is idle: not the one that every VM has.
fn supervisors(setup: &Setup) -> Vec<u64> {
    let is_one = |words: &[String]| words.iter().any(|word| word == "--paused" || word == "--auto-pause");
    all_supervisors(setup).into_iter().filter(|(_, words)| is_one(words)).map(|(pid, _)| pid).collect()
}

/// The one of [`supervisors`], once it is there alone. A verb does not wait until the process that it has started is the supervisor,
/// and while a process becomes another program its command line is empty.
fn the_supervisor(setup: &Setup) -> u64 {
    only(|| supervisors(setup))
}

/// What is found, once it is exactly one.
pub(crate) fn only<T>(found: impl Fn() -> Vec<T>) -> T {
    value(|| <[T; 1]>::try_from(found()).ok()).into_iter().next().expect("one")
}

/// All of them, with their command lines; not those that are still about to become one.
pub(crate) fn all_supervisors(setup: &Setup) -> Vec<(u64, Vec<String>)> {
    let root = setup.project.root().display().to_string();
    let processes =
        std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let supervisor = |pid: u64| {
        let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<String> =
            words.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        let is_one = words.contains(&root) && words.iter().any(|word| word == "supervisor");
        let begun = words.get(1).is_some_and(|word| word != "become-in-the-background");
        (is_one && begun).then_some((pid, words))
    };
    processes.filter_map(supervisor).collect()
}

fn count(setup: &Setup, command: &str) -> usize {
    Script::calls(&setup.vm_dir()).iter().filter(|call| *call == command).count()
}

#[test]
fn a_paused_vm_goes_on_at_the_first_connection_which_is_answered() {
    let setup = started("");
    insta::assert_snapshot!(setup.says(&["pause"], 0), @"[1/1] Pausing the VM …: the next connection to one of its ports lets it go on");
    assert_eq!(state(&setup), "paused");
    insta::assert_snapshot!(setup.says(&["pause"], 0), @"[1/1] Pausing the VM … skipped: it is paused; the next connection to one of its ports lets it go on");
    let status = setup.json(&["status", "-o", "json"]);
    assert_eq!((&status["api_state"], &status["paused"]["why"]), (&"paused".into(), &"k3s-vm pause".into()));
    assert_eq!(count(&setup, "cont"), 0, "to look does not wake it");
    assert_eq!(ask(setup.web).unwrap(), "pong");
    until(|| supervisors(&setup).is_empty());
    assert_eq!(state(&setup), "running");
    assert_eq!(setup.json(&["status", "-o", "json"]).get("paused"), None);
    assert_eq!((count(&setup, "cont"), count(&setup, "guest-set-time")), (1, 1));
    assert_eq!(std::fs::read_to_string(setup.vm_dir().join("supervisor.log")).unwrap(), "");
}

#[test]
fn resume_is_success_whatever_it_finds_running() {
    let setup = started("");
    setup.says(&["pause"], 0);
    insta::assert_snapshot!(setup.says(&["resume"], 0), @"[1/1] Resuming the VM …: there is no kubeconfig yet");
    assert_eq!(state(&setup), "running");
    insta::assert_snapshot!(setup.says(&["resume"], 0), @"[1/1] Resuming the VM … skipped: it runs already");
    until(|| supervisors(&setup).is_empty());
    setup.says(&["stop", "--power-off"], 0);
    insta::assert_snapshot!(setup.says(&["resume"], 3), @r"
    Error: k3s-vm is not running

    Next: k3s-vm start
    ");
    insta::assert_snapshot!(setup.says(&["pause"], 3), @r"
    Error: k3s-vm is not running

    Next: k3s-vm start
    ");
}

#[test]
fn verbs_that_need_the_guest_let_it_go_on() {
    let setup = started("");
    setup.program("ssh", "#!/bin/sh\nexit 0\n");
    for verb in [&["start", "--no-wait"][..], &["ssh", "true"], &["stop", "--power-off"]] {
        setup.says(&["pause"], 0);
        let text = setup.says(verb, 0);
        assert!(text.contains("it was paused and goes on"), "{verb:?}: {text}");
    }
}

#[test]
fn a_vm_whose_supervisor_was_killed_is_let_go_on_by_the_next_verb() {
    let setup = started("");
    setup.says(&["pause"], 0);
    kill(the_supervisor(&setup));
    until(|| supervisors(&setup).is_empty());
    assert_eq!(state(&setup), "paused");
    // A second pause puts another supervisor in its place.
    setup.says(&["pause"], 0);
    assert_eq!(ask(setup.web).unwrap(), "pong");
    setup.says(&["pause"], 0);
    kill(the_supervisor(&setup));
    setup.says(&["resume"], 0);
    assert_eq!(ask(setup.web).unwrap(), "pong");
}

#[test]
fn an_idle_vm_is_paused_by_itself_again_and_again() {
    let setup = started("auto_pause = \"1s\"\n");
    for _ in 0..2 {
        until(|| state(&setup) == "paused");
        let status = setup.json(&["status", "-o", "json"]);
        assert_eq!(status["paused"]["why"], "nothing was connected for 1s");
        assert_eq!(ask(setup.web).unwrap(), "pong");
    }
    the_supervisor(&setup);
    // By order it is the same, and one supervisor is left after it.
    setup.says(&["pause"], 0);
    assert_eq!(ask(setup.web).unwrap(), "pong");
    // One that was killed is replaced by the next verb.
    kill(the_supervisor(&setup));
    until(|| supervisors(&setup).is_empty());
    setup.says(&["resume"], 0);
    the_supervisor(&setup);
    let vm = pid(&setup);
    setup.says(&["stop", "--power-off"], 0);
    assert!(!is_alive(vm));
    until(|| supervisors(&setup).is_empty());
}

#[test]
fn a_vm_that_is_used_is_not_paused() {
    let setup = started("auto_pause = \"1s\"\n");
    let held = std::net::TcpStream::connect(("127.0.0.1", setup.web)).unwrap();
    // The supervisor has looked for longer than the VM may be idle.
    let looks = count(&setup, "human-monitor-command");
    until(|| count(&setup, "human-monitor-command") > looks + 20);
    assert_eq!(count(&setup, "stop"), 0);
    drop(held);
    until(|| state(&setup) == "paused");
}

#[test]
fn a_qemu_that_cannot_tell_who_wants_the_guest_is_not_paused() {
    let setup = Setup::new(&Script::default());
    let refusal = serde_json::json!({"error": {"class": "GenericError", "desc": "invalid object type: filter-mirror"}});
    setup.script(&Script { qmp: [("object-add".to_owned(), refusal)].into(), ..Script::default() });
    setup.says(&["start", "--no-wait"], 0);
    insta::assert_snapshot!(setup.says(&["pause"], 1), @r"
    [1/1] Pausing the VM …
    Error: QEMU cannot report connections to a paused guest
      QEMU refused the command object-add
      invalid object type: filter-mirror
    ");
    assert_eq!(state(&setup), "running");
}
