//! The guest agent: the connection and every call.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use model::ErrorClass;
use qemu::Agent;
use qemu::agent::{GuestCommand, GuestOutput, GuestScript};
use testkit::Script;
use testkit::script::{AgentScript, Program};

use crate::vm::{LONG, Vm};

const SHORT: Duration = Duration::from_millis(300);

fn with(agent: AgentScript) -> Vm {
    Vm::started(&Script { agent, ..Script::default() }).0
}

fn programs(programs: Vec<Program>) -> (Vm, Agent) {
    let vm = with(AgentScript { programs, ..AgentScript::default() });
    let agent = connect(&vm);
    (vm, agent)
}

fn connect(vm: &Vm) -> Agent {
    Agent::connect(&vm.machine.directory, LONG).unwrap()
}

#[test]
fn connections_made_too_early_are_given_up() {
    let vm = with(AgentScript { deaf_connections: 2, ..AgentScript::default() });
    connect(&vm).set_time(SystemTime::now(), LONG).unwrap();
}

#[test]
fn an_agent_that_never_answers_is_a_timeout() {
    let vm = with(AgentScript { absent: true, ..AgentScript::default() });
    let error = Agent::connect(&vm.machine.directory, SHORT).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Timeout);
    insta::assert_snapshot!(error, @"gave up waiting for the guest agent after 300ms: it does not answer");
}

#[test]
fn without_qemu_it_fails_at_once() {
    let vm = Vm::new(&Script::default());
    let error = Agent::connect(&vm.machine.directory, LONG).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Guest);
    insta::assert_snapshot!(error, @"the guest agent cannot be reached (connecting): QEMU does not run: nobody listens on its socket");
}

#[test]
fn the_rest_of_an_answer_to_a_killed_client_is_dropped() {
    let stale = "-status\": 1}\n{\"return\": {\"pid\": 1}}\n".to_owned();
    let vm = with(AgentScript { stale, ..AgentScript::default() });
    connect(&vm).set_time(SystemTime::now(), LONG).unwrap();
}

#[test]
fn a_program_gives_its_output_and_exit_code() {
    let (_vm, mut agent) = programs(vec![Program {
        command: "/bin/sh -c cat; exit 3 sh a b".to_owned(),
        stdout: "got: @stdin".to_owned(),
        stderr: "oh\n".to_owned(),
        code: 3,
        looks: 2,
        ..Program::default()
    }]);
    let command = GuestCommand::shell(GuestScript::new("cat; exit 3"), ["a b"]).input(b"in\xc3\xbc");
    let output = agent.exec(&command, LONG).unwrap();
    let expected = GuestOutput { code: 3, stdout: "got: inü".into(), stderr: "oh\n".into(), truncated: false };
    assert_eq!(output, expected);
    insta::assert_snapshot!(agent.run(&command, LONG).unwrap_err(), @"`/bin/sh -c cat; exit 3 sh a b` in the guest exited with 3: oh");
}

#[test]
fn a_signal_counts_as_in_a_shell() {
    let (_vm, mut agent) =
        programs(vec![Program { command: "/bin/dies".to_owned(), signal: Some(11), ..Program::default() }]);
    assert_eq!(agent.exec(&GuestCommand::new("/bin/dies", [""; 0]), LONG).unwrap().code, 139);
}

#[test]
fn a_program_that_does_not_exist() {
    let (_vm, mut agent) = programs(Vec::new());
    let error = agent.exec(&GuestCommand::new("/bin/none", ["-x"]), LONG).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Failed);
    insta::assert_snapshot!(error, @"`/bin/none -x` in the guest failed: the guest agent refused guest-exec: Failed to execute child process “/bin/none” (No such file or directory)");
}

#[test]
fn a_program_that_hangs_is_killed_at_the_deadline_and_the_agent_still_serves() {
    let (vm, mut agent) =
        programs(vec![Program { command: "sleep".to_owned(), looks: Program::FOREVER, ..Program::default() }]);
    let error = agent.exec(&GuestCommand::new("/bin/sleep", ["9"]), Duration::from_secs(2)).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Timeout);
    insta::assert_snapshot!(error, @"gave up waiting for `/bin/sleep 9` in the guest after 2s: it still runs");
    let killed = Script::received(&vm.machine.directory)
        .into_iter()
        .any(|call| call["execute"] == "guest-exec" && call["arguments"]["path"] == "/bin/kill");
    assert!(killed);
    agent.set_time(SystemTime::now(), LONG).unwrap();
}

#[test]
fn files_are_read_whole_or_not_at_all() {
    let big = "0123456789abcdef".repeat(150_000);
    let files = BTreeMap::from([("/big".to_owned(), big.clone()), ("/empty".to_owned(), String::new())]);
    let vm = with(AgentScript { files, ..AgentScript::default() });
    let mut agent = connect(&vm);
    assert_eq!(agent.read_file("/big", big.len(), LONG).unwrap().unwrap(), big.as_bytes());
    assert_eq!(agent.read_file("/empty", 10, LONG).unwrap(), Some(Vec::new()));
    assert_eq!(agent.read_file("/none", 10, LONG).unwrap(), None);
    insta::assert_snapshot!(agent.read_file("/big", 10, LONG).unwrap_err(), @"cannot read /big in the guest: it has more than 10 bytes");
    assert_eq!(vm.count("guest-file-open"), vm.count("guest-file-close") + 1, "only /none had nothing to close");
}

#[test]
fn the_clock_counts_as_set_when_only_hwclock_failed() {
    let vm = with(AgentScript { no_hwclock: true, ..AgentScript::default() });
    connect(&vm).set_time(SystemTime::now(), LONG).unwrap();
    assert_eq!(vm.count("guest-get-time"), 1);
}

#[test]
fn a_shutdown_is_not_answered() {
    let (vm, _launched) = Vm::started(&Script::default());
    let process = vm.process();
    connect(&vm).shut_down(LONG).unwrap();
    assert!(process.wait(LONG).unwrap());
}
