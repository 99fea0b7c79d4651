//! QMP: commands, events and errors.

use std::collections::BTreeMap;
use std::time::Duration;

use model::ErrorClass;
use qemu::Qmp;
use qemu::qmp::RunState;
use serde_json::{Value, json};
use testkit::Script;

use crate::vm::{LONG, Vm};

const SHORT: Duration = Duration::from_millis(150);

fn qmp(vm: &Vm) -> Qmp {
    Qmp::connect(&vm.machine.directory, LONG).unwrap()
}

#[test]
fn the_state_is_reported_and_events_are_stored() {
    let (vm, launched) = Vm::started(&Script::default());
    let mut qmp = qmp(&vm);
    assert_eq!(qmp.peer_pid(), launched.identity().pid);
    assert_eq!(qmp.status().unwrap(), RunState::Running);
    qmp.stop().unwrap();
    assert_eq!(qmp.status().unwrap(), RunState::Paused);
    qmp.cont().unwrap();
    assert_eq!(qmp.status().unwrap(), RunState::Running);
    let names: Vec<String> = qmp.events(LONG).unwrap().into_iter().map(|event| event.name).collect();
    assert_eq!(names, ["STOP", "RESUME"]);
    assert_eq!(qmp.events(Duration::ZERO).unwrap(), []);
}

#[test]
fn qemus_end_is_an_event_and_a_closed_connection() {
    let (vm, _launched) = Vm::started(&Script::default());
    let mut qmp = qmp(&vm);
    qmp.quit().unwrap();
    let events = qmp.events(LONG).unwrap();
    assert_eq!(events[0].name, "SHUTDOWN");
    assert_eq!(events[0].data["reason"], "host-qmp-quit");
    assert_eq!(qmp.events(LONG).unwrap(), []);
    assert!(qmp.is_closed());
}

#[test]
fn a_refusal_carries_qemus_reason() {
    let (vm, _launched) = Vm::started(&Script::default());
    let error = qmp(&vm).execute("nonsense", Value::Null).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Failed);
    insta::assert_snapshot!(error, @"QEMU refused the command nonsense: The command nonsense has not been found");
}

#[test]
fn another_client_is_a_timeout_that_says_so() {
    let (vm, _launched) = Vm::started(&Script::default());
    let _first = qmp(&vm);
    let error = Qmp::connect(&vm.machine.directory, SHORT).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Timeout);
    insta::assert_snapshot!(error, @"QEMU cannot be reached through QMP (the greeting): no answer in time; QMP serves one client at a time, so another one may be connected");
}

#[test]
fn a_qemu_that_has_ended_is_reported() {
    let vm = Vm::new(&Script::default());
    let error = Qmp::connect(&vm.machine.directory, LONG).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Guest);
    insta::assert_snapshot!(error, @"QEMU cannot be reached through QMP (connecting): nobody listens on its QMP socket");

    let (vm, _launched) = Vm::started(&Script::default());
    let mut qmp = qmp(&vm);
    let process = vm.process();
    process.kill().unwrap();
    assert!(process.wait(LONG).unwrap());
    let error = qmp.status().unwrap_err();
    assert_eq!(error.class(), ErrorClass::Guest);
    insta::assert_snapshot!(error, @"QEMU cannot be reached through QMP (query-status): it closed the connection");
}

#[test]
fn other_states_keep_their_name() {
    let answer = json!({"return": {"status": "io-error", "running": false}});
    let script = Script { qmp: BTreeMap::from([("query-status".to_owned(), answer)]), ..Script::default() };
    let (vm, _launched) = Vm::started(&script);
    assert_eq!(qmp(&vm).status().unwrap(), RunState::Other("io-error".to_owned()));
}
