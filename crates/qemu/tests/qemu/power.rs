//! The shutdown escalation: each stage, and how QEMU ended.

use std::time::Duration;

use qemu::power::{Escalation, Stage, Stopped};
use qemu::{Launched, Qmp};
use testkit::Script;
use testkit::script::{AgentScript, PowerButton};

use crate::vm::{LONG, Vm};

const SHORT: Duration = Duration::from_millis(150);

/// It waits long for everything but a press of the button.
fn escalation() -> Escalation {
    Escalation { power_off: LONG, press_again: SHORT, quit: LONG, terminate: LONG, kill: LONG }
}

fn refusing() -> Script {
    Script {
        power_button: PowerButton::Ignore,
        agent: AgentScript { ignore_shutdown: true, ..AgentScript::default() },
        ..Script::default()
    }
}

fn stop(vm: &Vm, mut launched: Launched, escalation: Escalation) -> Stopped {
    let process = vm.process();
    let stopped = escalation.stop(&process, &vm.machine.directory, &vm.events).unwrap();
    assert!(!process.is_alive());
    assert!(launched.ended().is_some());
    stopped
}

#[test]
fn the_guest_powers_off_at_the_button() {
    let (vm, launched) = Vm::started(&Script { power_off_ms: 300, ..Script::default() });
    assert_eq!(stop(&vm, launched, escalation()), Stopped { stage: Stage::PowerOff, clean: true });
    assert!(vm.count("system_powerdown") >= 1);
    assert!(!vm.project.root().join(".k3s-vm/vm.pid").exists());
}

#[test]
fn a_guest_early_in_its_boot_is_asked_again() {
    let agent = AgentScript { absent: true, ..AgentScript::default() };
    let (vm, launched) = Vm::started(&Script { power_button: PowerButton::IgnoreFirst(2), agent, ..Script::default() });
    assert_eq!(stop(&vm, launched, escalation()), Stopped { stage: Stage::PowerOff, clean: true });
    assert_eq!(vm.count("system_powerdown"), 3);
}

#[test]
fn the_agent_powers_the_guest_off_where_the_button_does_not() {
    let (vm, launched) = Vm::started(&Script { power_button: PowerButton::Ignore, ..Script::default() });
    assert_eq!(stop(&vm, launched, escalation()), Stopped { stage: Stage::PowerOff, clean: true });
    assert_eq!(vm.count("guest-shutdown"), 1);
}

#[test]
fn a_guest_that_refuses_is_ended_by_quit() {
    let (vm, launched) = Vm::started(&refusing());
    let stopped = stop(&vm, launched, Escalation { power_off: SHORT, ..escalation() });
    assert_eq!(stopped, Stopped { stage: Stage::Quit, clean: false });
    assert_eq!((vm.count("system_powerdown"), vm.count("quit")), (1, 1));
}

#[test]
fn a_qemu_that_ignores_quit_is_ended_by_sigterm() {
    let (vm, launched) = Vm::started(&Script { ignore_quit: true, ..refusing() });
    let stopped = stop(&vm, launched, Escalation { power_off: SHORT, quit: SHORT, ..escalation() });
    assert_eq!(stopped, Stopped { stage: Stage::Terminate, clean: false });
    assert_eq!(vm.count("quit"), 1);
}

#[test]
fn a_qemu_that_ignores_everything_is_ended_by_sigkill() {
    let (vm, launched) = Vm::started(&Script { ignore_quit: true, ignore_sigterm: true, ..refusing() });
    let stopped = stop(&vm, launched, Escalation { power_off: SHORT, quit: SHORT, terminate: SHORT, ..escalation() });
    assert_eq!(stopped, Stopped { stage: Stage::Kill, clean: false });
}

#[test]
fn another_qmp_client_does_not_delay_the_escalation() {
    let (vm, launched) = Vm::started(&refusing());
    let _occupied = Qmp::connect(&vm.machine.directory, LONG).unwrap();
    let stopped = stop(&vm, launched, Escalation { power_off: SHORT, ..escalation() });
    assert_eq!(stopped, Stopped { stage: Stage::Terminate, clean: false });
    assert_eq!(vm.count("quit"), 0);
}

#[test]
fn a_paused_guest_is_resumed_to_power_off() {
    let (vm, launched) = Vm::started(&Script::default());
    Qmp::connect(&vm.machine.directory, LONG).unwrap().stop().unwrap();
    assert_eq!(stop(&vm, launched, escalation()), Stopped { stage: Stage::PowerOff, clean: true });
    assert_eq!(vm.count("cont"), 1);
}

#[test]
fn a_panicked_guest_is_not_waited_for() {
    let (vm, launched) = Vm::started(&Script { status: "guest-panicked".to_owned(), ..Script::default() });
    assert_eq!(stop(&vm, launched, escalation()), Stopped { stage: Stage::Quit, clean: false });
    assert_eq!(vm.count("system_powerdown"), 0);
}

#[test]
fn the_hard_escalation_does_not_ask_the_guest() {
    let (vm, launched) = Vm::started(&Script::default());
    assert_eq!(stop(&vm, launched, Escalation::hard()), Stopped { stage: Stage::Kill, clean: false });
    assert_eq!((vm.count("system_powerdown"), vm.count("guest-shutdown")), (0, 0));
}
