//! Ctrl-C and SIGTERM at each moment of each verb: exit code 130, a message with the state of the instance, and no
//! paused guest.

use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use testkit::Script;
use testkit::fake_api::FakeApi;
use testkit::script::{AgentScript, Greeting, Migration, PowerButton, Program};

use crate::process::{kill, pid, state, until};
use crate::setup::Setup;

/// A guest whose agent runs sync(1), which ends after so many queries.
pub(crate) fn guest(looks: u32) -> AgentScript {
    let sync = Program { command: "/bin/sync".to_owned(), looks, ..Program::default() };
    AgentScript { programs: vec![sync], ..AgentScript::default() }
}

/// A running verb.
pub(crate) struct Verb<'a> {
    setup: &'a Setup,
    child: Child,
}

impl<'a> Verb<'a> {
    pub(crate) fn begin(setup: &'a Setup, arguments: &[&str]) -> Self {
        let mut command = setup.command(arguments);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        Verb { setup, child }
    }

    /// Waits until the fake has received this command more than `before` times.
    pub(crate) fn comes_to(self, command: &str, before: usize) -> Self {
        until(|| {
            // The verb may also have ended before, which the caller sees in its output.
            !crate::process::is_alive(self.child.id().into()) || count(self.setup, command) > before
        });
        self
    }

    /// Kills it with SIGKILL, as the kernel does when memory is short.
    pub(crate) fn killed(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Asserts exit code 130 and returns stderr.
    fn said(self) -> String {
        let output = self.child.wait_with_output().unwrap();
        let said = self.setup.steady(&String::from_utf8_lossy(&output.stderr));
        assert_eq!((output.status.code(), output.status.signal()), (Some(130), None), "{said}");
        said
    }

    /// Interrupts the verb, and returns what it printed after that.
    fn interrupted(self, signal: Signal) -> String {
        self.signal(signal);
        let said = self.said();
        said[said.find("Error: ").unwrap_or_else(|| panic!("no error: {said}"))..].to_owned()
    }
}

pub(crate) fn count(setup: &Setup, command: &str) -> usize {
    Script::calls(&setup.vm_dir()).iter().filter(|call| *call == command).count()
}

pub(crate) fn started(script: &Script) -> Setup {
    let setup = Setup::new(script);
    setup.says(&["start", "--no-wait"], 0);
    setup
}

/// Writes the files of a start that has waited.
pub(crate) fn ready(setup: &Setup) {
    let cluster = json!({"schema": 1, "image-directory": setup.project.root().join("image"), "node": "k3s-vm",
                         "distribution": "kubernetes v1.0.0", "version": "v1.0.0", "kubeconfig": FakeApi::start().kubeconfig(), "applied": null});
    setup.project.write(".k3s-vm/vm/cluster.json", &cluster.to_string());
}

#[test]
fn ctrl_c_while_a_snapshot_is_saved_was_a_failure_of_the_guest() {
    for signal in [Signal::INT, Signal::TERM] {
        let setup = started(&Script { agent: guest(Program::FOREVER), ..Script::default() });
        ready(&setup);
        let before = count(&setup, "guest-exec-status");
        let verb = Verb::begin(&setup, &["snapshot", "save", "seeded"]).comes_to("guest-exec-status", before);
        insta::allow_duplicates! {
            insta::assert_snapshot!(verb.interrupted(signal), @r"
            Error: interrupted while saving the snapshot seeded
              stopped waiting for `/bin/sync` in the guest
              nothing was saved
              k3s-vm runs, pid PID

            Next: k3s-vm start    # continues from here
            Next: k3s-vm stop
            ");
        }
        assert_eq!(setup.json(&["snapshot", "list", "-o", "json"]), json!([]));
        assert_eq!(count(&setup, "stop"), 0, "the guest stood still for nothing");
    }
}

#[test]
fn ctrl_c_while_the_ram_of_a_snapshot_was_written_left_the_guest_standing_still() {
    let script = Script { agent: guest(0), migration: Migration::Hang, ..Script::default() };
    let setup = started(&script);
    ready(&setup);
    let verb = Verb::begin(&setup, &["snapshot", "save", "seeded"]).comes_to("migrate", 0);
    let said = verb.interrupted(Signal::INT);
    assert!(said.starts_with("Error: interrupted while saving the snapshot seeded\n"), "{said}");
    assert!(said.contains("nothing was saved\n  k3s-vm runs, pid PID\n"), "{said}");
    assert_eq!((state(&setup).as_str(), count(&setup, "migrate_cancel")), ("running", 1));
    let calls = Script::calls(&setup.vm_dir());
    let last = |command: &str| calls.iter().rposition(|call| call == command);
    assert!(last("cont") > last("stop") && last("guest-set-time") > last("cont"), "{calls:?}");
}

#[test]
fn an_interrupted_stop_says_what_the_vm_does_now() {
    // The guest neither syncs its disk nor powers off, and its RAM is not saved.
    let hangs = Script { agent: guest(Program::FOREVER), ..Script::default() };
    let writes = Script { agent: guest(0), migration: Migration::Hang, ..Script::default() };
    let deaf = AgentScript { ignore_shutdown: true, ..guest(0) };
    let ignores = Script { agent: deaf, power_button: PowerButton::Ignore, ..Script::default() };
    for (script, arguments, moment) in [
        (&hangs, &["stop"][..], "guest-exec-status"),
        (&writes, &["stop"], "migrate"),
        (&ignores, &["stop", "--power-off"], "system_powerdown"),
    ] {
        for signal in [Signal::INT, Signal::TERM] {
            let setup = started(script);
            ready(&setup);
            let before = count(&setup, moment);
            let said = Verb::begin(&setup, arguments).comes_to(moment, before).interrupted(signal);
            assert!(said.starts_with("Error: interrupted while stopping the VM\n"), "{moment}: {said}");
            assert!(said.contains("\n  k3s-vm runs, pid PID\n"), "{moment}: {said}");
            assert_eq!(said.contains("the guest was told to power off"), arguments.len() == 2, "{said}");
            assert_eq!(state(&setup), "running", "{moment}");
            assert!(!setup.vm_dir().join("suspended.json").exists(), "{moment}");
        }
    }
}

#[test]
fn an_interrupt_between_the_saved_ram_and_the_end_of_qemu_left_a_vm_that_stood_still() {
    let setup = started(&Script { agent: guest(0), ignore_quit: true, ..Script::default() });
    ready(&setup);
    let vm = pid(&setup);
    let verb = Verb::begin(&setup, &["stop"]).comes_to("quit", 0);
    // It is too late to interrupt it, even by further signals.
    for signal in [Signal::INT, Signal::INT, Signal::TERM] {
        verb.signal(signal);
    }
    kill(vm);
    let said = verb.said();
    assert!(said.contains("Stopping the VM …: suspended; `k3s-vm start` resumes it\n"), "{said}");
    assert!(said.ends_with("Error: interrupted\n  k3s-vm is suspended\n\nNext: k3s-vm start\n"), "{said}");
    setup.script(&Script { agent: guest(0), ..Script::default() });
    assert!(setup.says(&["start", "--no-wait"], 0).contains("Resuming the VM"), "it was not suspended");
}

#[test]
fn an_interrupted_start_keeps_what_was_suspended() {
    let setup = started(&Script { agent: guest(0), ..Script::default() });
    ready(&setup);
    setup.says(&["stop"], 0);
    setup.script(&Script { migration: Migration::Hang, ..Script::default() });
    let said = Verb::begin(&setup, &["start", "--no-wait"]).comes_to("migrate-incoming", 0).interrupted(Signal::INT);
    assert!(said.starts_with("Error: interrupted while resuming the VM\n"), "{said}");
    assert!(said.contains("\n  k3s-vm is suspended\n"), "{said}");
    setup.script(&Script::default());
    assert!(setup.says(&["start", "--no-wait"], 0).contains("Resuming the VM"), "it was given up");
}

#[test]
fn every_wait_of_a_start_ends_with_130_and_the_state() {
    let silent = Script { greeting: Greeting::Hang, ..Script::default() };
    let absent = Script { agent: AgentScript { absent: true, ..Default::default() }, ..Script::default() };
    for verb in [&["start"][..], &["reset"]] {
        for signal in [Signal::INT, Signal::TERM] {
            let setup = Setup::new(&silent);
            let start = Verb::begin(&setup, verb);
            until(|| setup.vm_dir().join("qmp.sock").exists());
            let said = start.interrupted(signal);
            assert!(said.starts_with("Error: interrupted while starting the VM\n"), "{said}");
            // No QEMU is left behind.
            assert!(said.contains("k3s-vm is stopped; its data are kept\n"), "{said}");

            let setup = Setup::new(&absent);
            let start = Verb::begin(&setup, verb).comes_to("qmp_capabilities", 0);
            until(|| state(&setup) == "running");
            let said = start.interrupted(signal);
            assert!(said.starts_with("Error: interrupted while "), "{said}");
            assert!(said.contains("k3s-vm runs, pid PID\n"), "{said}");
        }
    }
}

#[test]
fn other_verbs_that_wait_for_the_guest_end_with_130_and_the_state() {
    let absent = Script { agent: AgentScript { absent: true, ..Default::default() }, ..Script::default() };
    let setup = started(&absent);
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}});
    setup.project.write(".k3s-vm/manifests/base.json", &object.to_string());
    for (verb, step) in
        [(&["apply"][..], "connecting to the cluster"), (&["apply", "--dry-run"], "connecting to the cluster")]
    {
        for signal in [Signal::INT, Signal::TERM] {
            let before = count(&setup, "query-status");
            let said = Verb::begin(&setup, verb).comes_to("query-status", before).interrupted(signal);
            assert!(said.starts_with(&format!("Error: interrupted while {step}\n")), "{said}");
            assert!(said.contains("k3s-vm runs, pid PID\n"), "{said}");
        }
    }
}

#[test]
fn whoever_waits_for_another_command_is_interrupted_with_the_state() {
    let setup = started(&Script { agent: guest(Program::FOREVER), ..Script::default() });
    ready(&setup);
    let first = Verb::begin(&setup, &["stop"]).comes_to("guest-exec-status", 0);
    for verb in
        [&["stop"][..], &["reset"], &["pause"], &["load", "x.tar"], &["snapshot", "save", "x"], &["apply", "--dry-run"]]
    {
        let mut second = Verb::begin(&setup, verb);
        let mut note = [0; 5];
        second.child.stderr.as_mut().unwrap().read_exact(&mut note).unwrap();
        assert_eq!(&note, b"Note:", "{verb:?} does not wait");
        second.signal(Signal::INT);
        let said = second.said();
        assert!(
            said.contains("Error: stopped waiting for the lock of instance k3s-vm\n  k3s-vm runs, pid PID\n"),
            "{said}"
        );
    }
    first.interrupted(Signal::INT);
}

#[test]
fn ctrl_c_while_an_archive_is_read_from_a_pipe_did_nothing() {
    let setup = started(&Script::default());
    let mut verb = Verb::begin(&setup, &["load", "-"]).comes_to("query-status", 0);
    // The archive is being read.
    verb.child.stdin.as_mut().unwrap().write_all(&[0; 128 * 1024]).unwrap();
    let said = verb.interrupted(Signal::INT);
    assert!(said.starts_with("Error: interrupted\n"), "{said}");
    assert!(said.contains("k3s-vm runs, pid PID\n"), "{said}");
}
