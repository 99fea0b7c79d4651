//! The real QEMU and qemu-img, where they are installed.

use std::path::Path;
use std::time::Duration;

use host::wait::{Look, Wait};
use model::port::Port;
use model::{Error, ErrorClass};
use qemu::machine::FirmwareFile;
use qemu::power::{Escalation, Stage};
use qemu::qcow2;
use qemu::qmp::RunState;
use qemu::{Qemu, Qmp};
use testkit::Script;
use testkit::skipped::{has_programs, skip};

use crate::boot_sector;
use crate::image_info::{CLEAN, image_check, image_info};
use crate::vm::{LONG, Vm, quit};

/// The real QEMU, where it and its tools are installed in a supported version; otherwise the running test is skipped by
/// name.
pub(crate) fn real_qemu() -> Option<Qemu> {
    let program = has_programs(&["qemu-system-x86_64", "qemu-img", "qemu-io"])
        .then(|| host::tools::find("qemu-system-x86_64"))?;
    let qemu = Qemu::at(program.unwrap()).unwrap();
    if qemu.version < qemu::version::LEAST {
        skip(&format!(
            "QEMU {} is installed, and {} is the oldest that is supported",
            qemu.version,
            qemu::version::LEAST
        ));
        return None;
    }
    Some(qemu)
}

fn make_base(base: &Path) {
    let mut create = host::command::Command::new("qemu-img").args(["create", "-q", "-f", "qcow2"]);
    create = create.arg(base).arg("64M");
    create.run().unwrap();
}

/// Code that prints `text` on the first serial port and halts for ever.
fn printing(text: &str) -> Vec<u8> {
    let mut code = vec![0xfa, 0xba, 0xf8, 0x03]; // cli; mov dx, 0x3f8
    for byte in text.bytes() {
        code.extend_from_slice(&[0xb0, byte, 0xee]); // mov al, byte; out dx, al
    }
    code.extend_from_slice(&[0xf4, 0xeb, 0xfd]); // hlt; jmp to it
    code
}

/// A VM that the real QEMU can start, in a directory that is hard to quote.
fn prepared(qemu: &Qemu) -> Vm {
    prepared_with(qemu, &printing("the guest speaks\r\n"))
}

/// [`prepared`] with a guest that runs `code`.
pub(crate) fn prepared_with(qemu: &Qemu, code: &[u8]) -> Vm {
    let mut vm = Vm::in_directory("a, b \"c\" ü", &Script::default());
    let directory = vm.machine.directory.clone();
    make_base(&directory.join("base, 1.qcow2"));
    qcow2::create_overlay(&directory.join("disk.qcow2"), &directory.join("base, 1.qcow2"), 64 << 20).unwrap();
    std::fs::write(directory.join("kernel"), boot_sector::with(code)).unwrap();
    std::fs::write(directory.join("initrd"), b"nothing").unwrap();
    std::fs::write(directory.join("keys"), b"keys").unwrap();
    vm.machine.version = qemu.version;
    vm.machine.sandbox = qemu.sandbox;
    vm.machine.kernel = directory.join("kernel");
    vm.machine.initrd = directory.join("initrd");
    let keys = FirmwareFile { name: "opt/k3s-vm/authorized_keys".to_owned(), path: directory.join("keys") };
    vm.machine.firmware_files.push(keys);
    vm
}

#[test]
fn the_real_qemu_takes_the_command_line_runs_a_guest_and_obeys() {
    let Some(qemu) = real_qemu() else { return };
    let mut vm = prepared(&qemu);
    let port = testkit::port::free();
    let forward = vm.forward(port, 22);
    let mut launched = vm.launch_with(&qemu, LONG).unwrap();

    let wait = Wait { what: "the guest's console", deadline: LONG, interval: Duration::from_millis(20) };
    wait.until(|_| {
        let log = std::fs::read_to_string(vm.log()).unwrap();
        Ok(if log.contains("the guest speaks") { Look::Ready(()) } else { Look::NotYet(log) })
    })
    .unwrap();

    let mut qmp = Qmp::connect(&vm.machine.directory, LONG).unwrap();
    assert_eq!(qmp.status().unwrap(), RunState::Running);
    qmp.stop().unwrap();
    assert_eq!(qmp.status().unwrap(), RunState::Paused);
    qmp.cont().unwrap();
    assert_eq!(qmp.events(LONG).unwrap().iter().filter(|event| event.name == "STOP").count(), 1);

    let error = Error::from(qmp.add_forward(&forward).unwrap_err());
    assert_eq!(error.class(), ErrorClass::Port);
    let pid = launched.identity().pid;
    assert!(error.to_string().contains(&format!("pid {pid} of user ")), "{error}");
    let other = qemu::Forward { host: testkit::port::free(), ..forward };
    qmp.add_forward(&other).unwrap();
    drop(std::net::TcpStream::connect(other.bind.socket(other.host)).unwrap());
    qmp.remove_forward(&other).unwrap();
    qmp.remove_forward(&other).unwrap();
    drop(qmp);

    let process = vm.process();
    let escalation = Escalation { power_off: Duration::from_millis(100), ..Escalation::with_clean(LONG) };
    let stopped = escalation.stop(&process, &vm.machine.directory, &vm.events).unwrap();
    assert_eq!((stopped.stage, stopped.clean), (Stage::Quit, false));
    assert_eq!(launched.ended().as_deref(), Some("exit status: 0"));
    assert!(!vm.machine.pid_file.exists());
}

#[test]
fn the_real_qemus_refusals_are_understood() {
    let Some(qemu) = real_qemu() else { return };
    let mut first = prepared(&qemu);
    let port: Port = testkit::port::free();
    first.forward(port, 22);
    let running = first.launch_with(&qemu, LONG).unwrap();
    let pid = running.identity().pid;
    let of_first = format!("pid {pid} of user ");

    // Its port.
    let mut second = prepared(&qemu);
    second.forward(port, 22);
    let error = second.launch_with(&qemu, LONG).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Port);
    assert_eq!(error.what(), format!("port {port} on 127.0.0.1 is taken"));
    assert!(error.to_string().contains(&of_first), "{error}");

    // Its disk, under another pid file.
    second.machine.forwards.clear();
    second.machine.disk = first.machine.directory.join("disk.qcow2");
    let error = second.launch_with(&qemu, LONG).unwrap_err();
    assert_eq!(error.class(), ErrorClass::State, "{error}");

    // Its pid file.
    second.machine.pid_file = first.machine.pid_file.clone();
    let error = second.launch_with(&qemu, LONG).unwrap_err();
    assert_eq!(error.class(), ErrorClass::State);
    assert!(error.to_string().contains(&of_first), "{error}");

    // No kernel.
    let mut third = prepared(&qemu);
    third.machine.kernel = "/nonexistent/kernel".into();
    let error = third.launch_with(&qemu, LONG).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Guest);
    assert!(error.to_string().contains("could not open kernel file '/nonexistent/kernel'"), "{error}");

    assert!(first.process().is_alive(), "the first one was not touched");
}

/// A line of /proc/PID/status.
fn status_line(pid: u32, name: &str) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned()
}

#[test]
fn the_real_qemu_runs_under_its_filter_of_system_calls_and_without_new_privileges() {
    let Some(qemu) = real_qemu() else { return };
    if !qemu.sandbox {
        return skip("this QEMU has no -sandbox");
    }
    let mut vm = prepared(&qemu);
    let launched = vm.launch_with(&qemu, LONG).unwrap();
    let pid = launched.identity().pid;
    assert_eq!((status_line(pid, "Seccomp:"), status_line(pid, "NoNewPrivs:")), ("2".to_owned(), "1".to_owned()));
    let filters: u32 = status_line(pid, "Seccomp_filters:").parse().unwrap();
    let own: u32 = status_line(std::process::id(), "Seccomp_filters:").parse().unwrap();
    assert!(filters > own, "{filters} filters, of which {own} are this program's");
}

#[test]
fn a_guest_that_resets_before_it_was_ready_was_reset_again_and_again() {
    let Some(qemu) = real_qemu() else { return };
    let mut vm = prepared(&qemu);
    let spoken = |vm: &Vm| std::fs::read_to_string(vm.log()).unwrap_or_default().matches("the guest speaks").count();
    let until = |vm: &Vm, times: usize| {
        let wait = Wait { what: "the guest's words", deadline: LONG, interval: Duration::from_millis(20) };
        let look = |_| Ok(if spoken(vm) == times { Look::Ready(()) } else { Look::NotYet(spoken(vm).to_string()) });
        wait.until(look).unwrap();
    };
    // QEMU treats a reset by command like one by the guest.
    let reset = |vm: &Vm| vm.qmp().execute("system_reset", serde_json::Value::Null).unwrap();
    let mut launched = vm.launch_with(&qemu, LONG).unwrap();
    until(&vm, 1);
    vm.qmp().allow_resets().unwrap();
    reset(&vm);
    until(&vm, 2);
    assert_eq!(launched.ended(), None);
    assert!(!vm.qmp().agent_is_there().unwrap());
    quit(vm.qmp(), launched);

    launched = vm.launch_with(&qemu, LONG).unwrap();
    until(&vm, 3);
    reset(&vm);
    let wait = Wait { what: "QEMU's end", deadline: LONG, interval: Duration::from_millis(5) };
    let ended = wait.until(|_| Ok(launched.ended().map_or(Look::NotYet(String::new()), Look::Ready))).unwrap();
    assert_eq!(ended, "exit status: 0");
    assert_eq!(spoken(&vm), 3);
}

#[test]
fn disk_images() {
    if !has_programs(&["qemu-img"]) {
        return;
    }
    let holder = tempfile::tempdir().unwrap();
    let directory = holder.path().join("a, b:c \"d\" ü");
    std::fs::create_dir(&directory).unwrap();
    let (base, disk) = (directory.join("base, 1.qcow2"), directory.join("disk.qcow2"));
    make_base(&base);
    qcow2::create_overlay(&disk, &base, 96 << 20).unwrap();
    let info = image_info(&disk);
    assert_eq!(info.backing_file.as_deref(), Some(base.as_path()));
    assert_eq!((info.format.as_str(), info.backing_format.as_deref()), ("qcow2", Some("qcow2")));
    assert_eq!(info.virtual_size, 96 << 20);
    assert_eq!(image_check(&disk), CLEAN);
}
