//! Two commands at once.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use testkit::Script;
use testkit::script::AgentScript;

use crate::isolation::isolated;
use crate::process::state;
use crate::setup::Setup;

#[test]
fn a_second_command_names_the_first_and_waits_for_it() {
    isolated("locks::a_second_command_names_the_first_and_waits_for_it", || {
        let setup =
            Setup::new(&Script { agent: AgentScript { absent: true, ..Default::default() }, ..Script::default() });
        let mut first = setup.command(&["start", "--timeout", "10m"]).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(first.stderr.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains("Starting the VM")));
        // Verbs that only read do not wait.
        assert_eq!(state(&setup), "running");
        let mut second = setup.command(&["stop", "--timeout", "1s"]).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(second.stderr.take().unwrap()).lines();
        let note = lines.next().unwrap().unwrap();
        insta::assert_snapshot!(setup.steady(&note), @"Note: waiting for instance k3s-vm, which is in use by process PID (k3s-vm start --timeout 10m)");
        assert!(note.contains(&format!("process {} ", first.id())), "{note}");
        first.kill().unwrap();
        first.wait().unwrap();
        assert!(second.wait().unwrap().success());
        assert_eq!(state(&setup), "stopped");
    });
}
