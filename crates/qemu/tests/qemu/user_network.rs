//! Ports that are opened and closed on a running VM.

use std::net::TcpStream;

use model::{Error, ErrorClass};
use qemu::Forward;
use testkit::Script;

use crate::boot_sector;
use crate::real::{prepared_with, real_qemu};
use crate::vm::{LONG, Vm};

fn ports_open_and_close(mut vm: Vm) {
    let first = vm.machine.forwards[0];
    let mut qmp = vm.qmp();
    assert_eq!(qmp.forwards().unwrap(), [first]);
    let second = vm.forward(testkit::port::free(), 80);
    qmp.add_forward(&second).unwrap();
    drop(TcpStream::connect(second.bind.socket(second.host)).unwrap());
    assert_eq!(qmp.forwards().unwrap(), [first, second]);
    let error = Error::from(qmp.add_forward(&Forward { guest: 81, ..second }).unwrap_err());
    assert_eq!(error.class(), ErrorClass::Port);
    assert!(error.to_string().contains("Could not set up host forwarding rule"), "{error}");
    qmp.remove_forward(&second).unwrap();
    qmp.remove_forward(&second).unwrap();
    assert_eq!(qmp.forwards().unwrap(), [first]);
}

#[test]
fn the_fakes_ports_open_and_close_while_it_runs() {
    let mut vm = Vm::new(&Script { listen: true, ..Script::default() });
    vm.forward(testkit::port::free(), 22);
    vm.launch(LONG).unwrap();
    ports_open_and_close(vm);
}

#[test]
fn the_real_qemus_ports_open_and_close_while_it_runs() {
    let Some(qemu) = real_qemu() else { return };
    let mut vm = prepared_with(&qemu, boot_sector::COUNTING);
    vm.forward(testkit::port::free(), 22);
    vm.launch_with(&qemu, LONG).unwrap();
    ports_open_and_close(vm);
}
