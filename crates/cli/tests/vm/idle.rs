//! A VM that is paused, by the verb or because it is idle, and what resumes it.

use std::collections::BTreeMap;

use testkit::Script;
use testkit::wait::value;

use crate::forwards::{ask, pong};
use crate::process::{is_alive, kill, pid, state, until};
use crate::setup::Setup;

/// A VM that answers `pong` on its web port, with these lines at the head of its configuration.
fn started(head: &str) -> Setup {
    let setup = Setup::new(&Script::default());
    let config = setup.project.read(".k3s-vm/config.toml");
    setup.project.write(".k3s-vm/config.toml", &format!("{head}{config}"));
    let guest_ports = BTreeMap::from([(setup.web, pong())]);
    setup.script(&Script { listen: true, guest_ports, ..Script::default() });
    setup.says(&["start", "--no-wait"], 0);
    setup
}

/// The supervisors of the project's VM that pause it when it is idle or have a wake line, without the one that every VM
/// has.
fn supervisors(setup: &Setup) -> Vec<u64> {
    let is_one = |words: &[String]| words.iter().any(|word| word == "--paused" || word == "--auto-pause");
    all_supervisors(setup).into_iter().filter(|(_, words)| is_one(words)).map(|(pid, _)| pid).collect()
}

/// The only one of [`supervisors`], once there is exactly one: a verb does not wait for the supervisor that it starts.
fn the_supervisor(setup: &Setup) -> u64 {
    only(|| supervisors(setup))
}

/// What is found, once there is exactly one.
pub(crate) fn only<T>(found: impl Fn() -> Vec<T>) -> T {
    value(|| <[T; 1]>::try_from(found()).ok()).into_iter().next().expect("one")
}

/// All supervisors with their command lines, without processes that are still about to become one.
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
fn a_paused_vm_resumes_at_the_first_connection_and_answers_it() {
    let setup = started("");
    insta::assert_snapshot!(setup.says(&["pause"], 0), @"[1/1] Pausing the VM …: the next connection to one of its ports resumes it");
    assert_eq!(state(&setup), "paused");
    insta::assert_snapshot!(setup.says(&["pause"], 0), @"[1/1] Pausing the VM … skipped: it is paused; the next connection to one of its ports resumes it");
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
fn verbs_that_need_the_guest_resume_it() {
    let setup = started("");
    setup.program("ssh", "#!/bin/sh\nexit 0\n");
    for verb in [&["start", "--no-wait"][..], &["ssh", "true"], &["stop", "--power-off"]] {
        setup.says(&["pause"], 0);
        let text = setup.says(verb, 0);
        assert!(text.contains("it was paused and was resumed"), "{verb:?}: {text}");
    }
}

#[test]
fn a_vm_whose_supervisor_was_killed_is_resumed_by_the_next_verb() {
    let setup = started("");
    setup.says(&["pause"], 0);
    kill(the_supervisor(&setup));
    until(|| supervisors(&setup).is_empty());
    assert_eq!(state(&setup), "paused");
    // A second pause starts another supervisor.
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
    // After the verb `pause` it is the same, and one supervisor is left.
    setup.says(&["pause"], 0);
    assert_eq!(ask(setup.web).unwrap(), "pong");
    // The next verb replaces a killed supervisor.
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
    // The supervisor has watched for longer than `auto_pause`.
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
