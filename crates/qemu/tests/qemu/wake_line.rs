//! A connection wakes a paused guest: with the fake, whose guest answers then, and with the real QEMU.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use host::wait::{Look, Wait};
use model::ErrorClass;
use qemu::qmp::RunState;
use qemu::wake_line::{Call, disarm};
use qemu::{Qmp, Save, StoppedGuest, WakeLine};
use serde_json::json;
use testkit::Script;

use crate::boot_sector;
use crate::real::{prepared_with, real_qemu};
use crate::vm::{LONG, Vm};

/// Pauses the guest and adds a wake line.
fn armed(vm: &Vm) -> WakeLine {
    let mut qmp = vm.qmp();
    qmp.stop().unwrap();
    WakeLine::arm(&mut qmp).unwrap()
}

/// A real VM whose guest runs, with one forward.
fn real() -> Option<Vm> {
    let qemu = real_qemu()?;
    let mut vm = prepared_with(&qemu, boot_sector::COUNTING);
    vm.forward(testkit::port::free(), 80);
    vm.launch_with(&qemu, LONG).unwrap();
    Some(vm)
}

/// A fake VM with a forward to a server that answers `pong`.
fn fake() -> Vm {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut stream in server.incoming().map_while(Result::ok) {
            let mut request = [0; 4];
            stream.read_exact(&mut request).and_then(|()| stream.write_all(b"pong")).unwrap();
        }
    });
    let mut vm = Vm::new(&Script { listen: true, guest_ports: [(80, address)].into(), ..Script::default() });
    vm.forward(testkit::port::free(), 80);
    vm.launch(LONG).unwrap();
    vm
}

fn connect(vm: &Vm) -> TcpStream {
    let forward = vm.machine.forwards[0];
    TcpStream::connect(forward.bind.socket(forward.host)).unwrap()
}

fn is_woken_by_a_connection(vm: &Vm) -> TcpStream {
    let directory = vm.machine.directory.clone();
    let line = armed(vm);
    let waiting = std::thread::spawn(move || {
        let call = line.wait(&directory).unwrap();
        (call, line.answer(&directory).unwrap())
    });
    let stream = connect(vm);
    assert_eq!(waiting.join().unwrap(), (Call::Wanted, true));
    let mut qmp = vm.qmp();
    assert_eq!(qmp.status().unwrap(), RunState::Running);
    // The line was removed from the VM.
    for (command, id) in [("object-del", "wake-filter"), ("chardev-remove", "wake-line")] {
        let error = qmp.execute(command, json!({"id": id})).unwrap_err();
        assert!(error.to_string().ends_with("not found"), "{error}");
    }
    stream
}

#[test]
fn a_connection_wakes_the_guest_and_is_answered() {
    let vm = fake();
    for _ in 0..2 {
        let mut stream = is_woken_by_a_connection(&vm);
        stream.write_all(b"ping").unwrap();
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"pong");
    }
}

#[test]
fn a_connection_wakes_the_real_qemus_guest() {
    let Some(vm) = real() else { return };
    for _ in 0..2 {
        drop(is_woken_by_a_connection(&vm));
    }
}

fn finds_a_connection_from_before_the_line(vm: &Vm) {
    vm.qmp().stop().unwrap();
    let _stream = connect(vm);
    let mut qmp = vm.qmp();
    let wait = Wait { what: "the connection", deadline: LONG, interval: Duration::from_millis(2) };
    let look = |qmp: &mut Qmp| qmp.user_network().map(|network| network.waiting);
    wait.until(|_| Ok(if look(&mut qmp)? > 0 { Look::Ready(()) } else { Look::NotYet(String::new()) })).unwrap();
    let line = WakeLine::arm(&mut qmp).unwrap();
    drop(qmp);
    assert_eq!(line.wait(&vm.machine.directory).unwrap(), Call::Wanted);
    assert!(line.answer(&vm.machine.directory).unwrap());
}

#[test]
fn a_connection_from_before_the_line_is_found() {
    finds_a_connection_from_before_the_line(&fake());
    if let Some(vm) = real() {
        finds_a_connection_from_before_the_line(&vm);
    }
}

fn is_closed_by_the_process_that_removes_it(vm: &Vm) {
    let line = armed(vm);
    let mut qmp = vm.qmp();
    disarm(&mut qmp).unwrap();
    drop(qmp);
    assert_eq!(line.wait(&vm.machine.directory).unwrap(), Call::Cut);
    assert!(!line.answer(&vm.machine.directory).unwrap(), "the process that removed the line decides about the guest");
    assert_eq!(vm.qmp().status().unwrap(), RunState::Paused);
    // A second line closes the first.
    let (first, second) = (armed(vm), armed(vm));
    assert_eq!(first.wait(&vm.machine.directory).unwrap(), Call::Cut);
    assert!(second.answer(&vm.machine.directory).unwrap());
    // A line whose owner was killed is no obstacle.
    drop(armed(vm));
    drop(armed(vm));
    disarm(&mut vm.qmp()).unwrap();
}

#[test]
fn a_line_is_closed_by_the_process_that_removes_it() {
    is_closed_by_the_process_that_removes_it(&fake());
    if let Some(vm) = real() {
        is_closed_by_the_process_that_removes_it(&vm);
    }
}

#[test]
fn a_save_removes_the_line() {
    let Some(vm) = real() else { return };
    let line = armed(&vm);
    let (state, ram) = (vm.machine.directory.join("state"), vm.machine.directory.join("ram"));
    let begun_from = vm.machine.directory.join("none");
    let save = Save { begun_from: &begun_from, ram: &ram, state: &state, deadline: LONG };
    let mut qmp = vm.qmp();
    let prepared = save.prepare(&mut qmp, &vm.events).unwrap();
    let _ = prepared.write(&mut StoppedGuest::stop(&mut qmp, &vm.events).unwrap()).unwrap();
    assert_eq!(qmp.status().unwrap(), RunState::Paused);
    drop(qmp);
    assert_eq!(line.wait(&vm.machine.directory).unwrap(), Call::Cut);
    assert!(!line.answer(&vm.machine.directory).unwrap());
}

#[test]
fn the_line_is_closed_when_qemu_ends() {
    let vm = fake();
    let line = armed(&vm);
    let process = vm.process();
    process.kill().unwrap();
    assert!(process.wait(LONG).unwrap());
    assert_eq!(line.wait(&vm.machine.directory).unwrap(), Call::Cut);
}

#[test]
fn a_qemu_without_the_filter_is_left_without_a_line() {
    let refusal = json!({"error": {"class": "GenericError", "desc": "invalid object type: filter-mirror"}});
    let script = Script { qmp: [("object-add".to_owned(), refusal)].into(), ..Script::default() };
    let (vm, _launched) = Vm::started(&script);
    let error = WakeLine::arm(&mut vm.qmp()).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Failed);
    insta::assert_snapshot!(error, @"QEMU cannot report connections to a paused guest: QEMU refused the command object-add: invalid object type: filter-mirror");
    let error = vm.qmp().execute("chardev-remove", json!({"id": "wake-line"})).unwrap_err();
    assert!(error.to_string().ends_with("Chardev 'wake-line' not found"), "{error}");
}
