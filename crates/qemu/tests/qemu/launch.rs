//! The start of QEMU: what a successful one leaves, and the error of each failure.

use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

use host::identity::{ProcessHandle, ProcessIdentity};
use model::port::Port;
use model::{Error, ErrorClass};
use qemu::console::ConsoleReader;
use qemu::{Launch, LaunchError, Qemu, Version};
use testkit::Script;
use testkit::script::{ConsoleLine, Death, Exit, Greeting};

use crate::vm::{LONG, Vm};

fn dies(stderr: &str) -> Script {
    Script { die: Some(Death { stderr: stderr.to_owned(), code: 1 }), ..Script::default() }
}

fn error(vm: &mut Vm, deadline: Duration) -> Error {
    vm.launch(deadline).expect_err("it must not come up")
}

#[test]
fn qemu_runs_in_a_session_of_its_own_and_is_known_by_its_identity() {
    let (vm, launched) = Vm::started(&Script::default());
    let pid = launched.identity().pid;
    assert_eq!(ProcessIdentity::of(pid).unwrap().as_ref(), Some(launched.identity()));
    assert!(ProcessHandle::open(launched.identity(), &vm.machine.uuid).unwrap().is_some());
    let session = rustix::process::getsid(rustix::process::Pid::from_raw(i32::try_from(pid).unwrap())).unwrap();
    assert_eq!(session.as_raw_nonzero().get(), i32::try_from(pid).unwrap());
    assert_eq!(vm.project.read(".k3s-vm/vm.pid").trim(), pid.to_string());
}

#[test]
fn qemu_outlives_the_launch_and_its_console_is_in_the_log() {
    let script = Script {
        console: vec![ConsoleLine { after_ms: 0, text: "[  OK  ] Started ssh.service - OpenSSH.".to_owned() }],
        ..Script::default()
    };
    let mut vm = Vm::new(&script);
    std::fs::write(vm.log(), "of the run before\n").unwrap();
    let mut console = ConsoleReader::from_end(vm.log()).unwrap();
    drop(vm.launch(LONG).unwrap());
    assert!(vm.process().is_alive());
    let wait = host::wait::Wait { what: "the console", deadline: LONG, interval: Duration::from_millis(5) };
    let started = wait.until(|_| {
        let started = console.news()?.started;
        Ok(if started.is_empty() { host::wait::Look::NotYet(String::new()) } else { host::wait::Look::Ready(started) })
    });
    assert_eq!(started.unwrap(), ["ssh.service - OpenSSH"]);
    assert!(std::fs::read_to_string(vm.log()).unwrap().starts_with("of the run before\n"));
}

#[test]
fn a_directory_that_is_long_and_hard_to_quote_changes_nothing() {
    let name = format!("a, b=c \"d\" 'e' ü {}", "long-".repeat(25));
    let mut vm = Vm::in_directory(&name, &Script::default());
    vm.launch(LONG).unwrap();
    assert!(vm.process().is_alive());
}

#[test]
fn an_early_death_is_reported_with_its_last_lines() {
    let mut vm = Vm::new(&dies("qemu-system-x86_64: could not load kernel 'kernel': No such file or directory"));
    std::fs::write(vm.log(), "Could not set up host forwarding rule 'tcp:127.0.0.1:1-:1' in the run before\n").unwrap();
    let error = error(&mut vm, LONG);
    assert_eq!(error.class(), ErrorClass::Guest);
    insta::assert_snapshot!(error, @"QEMU ended at once (exit status: 1): could not load kernel 'kernel': No such file or directory");
    assert_eq!(
        error.log().unwrap().lines,
        ["qemu-system-x86_64: could not load kernel 'kernel': No such file or directory"]
    );
}

#[test]
fn a_death_without_output_is_reported() {
    let mut vm = Vm::new(&Script { die: Some(Death { stderr: String::new(), code: 7 }), ..Script::default() });
    insta::assert_snapshot!(error(&mut vm, LONG), @"QEMU ended at once (exit status: 7): it wrote nothing");
}

#[test]
fn a_death_between_socket_and_greeting_is_not_a_timeout() {
    let script = Script { greeting: Greeting::Hang, exit_after: Some(Exit { ms: 50, code: 3 }), ..Script::default() };
    let error = error(&mut Vm::new(&script), LONG);
    insta::assert_snapshot!(error, @"QEMU ended at once (exit status: 3): it wrote nothing");
}

#[test]
fn a_taken_port_names_its_holder() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = Port::new(listener.local_addr().unwrap().port()).unwrap();
    let mut vm = Vm::new(&Script { listen: true, ..Script::default() });
    vm.forward(port, 6443);
    let error = error(&mut vm, LONG);
    assert_eq!(error.class(), ErrorClass::Port);
    assert_eq!(error.what(), format!("port {port} on 127.0.0.1 is taken"));
    let us = format!("pid {} of user ", std::process::id());
    assert!(error.why().iter().any(|why| why.starts_with(&us)), "{error}");
    assert!(error.next_steps().iter().any(|step| step.contains(".k3s-vm/config.toml")), "{error:?}");
}

#[test]
fn a_second_qemu_of_the_same_instance_names_the_first() {
    let (mut vm, first) = Vm::started(&Script::default());
    let pid = first.identity().pid;
    let error = error(&mut vm, LONG);
    assert_eq!(error.class(), ErrorClass::State);
    assert!(error.to_string().contains(&format!("pid {pid} of user ")), "{error}");
    assert!(vm.process().is_alive(), "the first one was not touched");
}

#[test]
fn a_disk_that_another_qemu_holds() {
    let text = "qemu-system-x86_64: -blockdev {}: Failed to get \"write\" lock\n\
                Is another process using the image [disk.qcow2]?";
    let error = error(&mut Vm::new(&dies(text)), LONG);
    assert_eq!(error.class(), ErrorClass::State);
    insta::assert_snapshot!(error, @"another QEMU runs on the disk of k3s-vm: its process is not seen; it may be another user's");
    insta::assert_snapshot!(error.next_steps().join("\n"), @r"
    k3s-vm stop
    k3s-vm reset    # also ends VMs that were left behind; destroys the disk
    ");
}

#[test]
fn kvm_that_worked_in_its_test_and_no_longer_does() {
    let error =
        error(&mut Vm::new(&dies("qemu-system-x86_64: failed to initialize kvm: Device or resource busy")), LONG);
    assert_eq!(error.class(), ErrorClass::Host);
    insta::assert_snapshot!(error, @"KVM cannot be used: failed to initialize kvm: Device or resource busy");
    insta::assert_snapshot!(error.next_steps().join("\n"), @"k3s-vm start --accel tcg    # slower, works everywhere");
}

#[test]
fn silence_is_a_timeout_and_leaves_no_process() {
    let mut vm = Vm::new(&Script { greeting: Greeting::Hang, ignore_sigterm: true, ..Script::default() });
    let error = error(&mut vm, Duration::from_secs(5));
    assert_eq!(error.class(), ErrorClass::Timeout);
    insta::assert_snapshot!(error, @"QEMU was started and does not answer: QEMU cannot be reached through QMP (the greeting): no answer in time; QMP serves one client at a time, so another one may be connected");
    let pid: u32 = vm.project.read(".k3s-vm/vm.pid").trim().parse().unwrap();
    assert_eq!(ProcessIdentity::of(pid).unwrap(), None);
}

#[test]
fn garbage_is_not_qmp() {
    let error =
        error(&mut Vm::new(&Script { greeting: Greeting::Garbage("SSH-2.0-x".to_owned()), ..Script::default() }), LONG);
    assert_eq!(error.class(), ErrorClass::Failed);
    insta::assert_snapshot!(error, @"QEMU was started and does not answer: what answers on the QMP socket is not QEMU: it says: SSH-2.0-x");
}

#[test]
fn a_socket_that_is_not_the_new_qemus_does_not_count() {
    let mut vm = Vm::new(&dies("qemu-system-x86_64: it ends"));
    // Another process listens on the socket, not the one that was started.
    let _other = std::os::unix::net::UnixListener::bind(vm.machine.directory.join("qmp.sock")).unwrap();
    assert_eq!(error(&mut vm, LONG).class(), ErrorClass::Guest);
}

/// Whether a launch with this script ends with an error of this kind.
fn ends_as(script: &Script, kind: fn(&LaunchError) -> bool) -> bool {
    let (vm, qemu) = (Vm::new(script), crate::vm::fake());
    let launch = Launch { qemu: &qemu, machine: &vm.machine, log: vm.log(), deadline: LONG };
    kind(&launch.run(&vm.events).expect_err("it must not come up"))
}

#[test]
fn the_kind_of_an_error_says_what_another_start_can_change() {
    let port = "qemu-system-x86_64: Could not set up host forwarding rule 'tcp:127.0.0.1:1-:1'";
    assert!(ends_as(&dies(port), |error| matches!(error, LaunchError::PortTaken(_))));
    assert!(ends_as(&dies("qemu-system-x86_64: it ends"), |error| matches!(error, LaunchError::Died(_))));
    let garbage = Script { greeting: Greeting::Garbage("SSH-2.0-x".to_owned()), ..Script::default() };
    assert!(ends_as(&garbage, |error| matches!(error, LaunchError::NoAnswer(_))));
    for of_the_host in ["failed to initialize kvm", "cannot set up guest memory", "Cannot lock pid file"] {
        assert!(ends_as(&dies(of_the_host), |error| matches!(error, LaunchError::Other(_))), "{of_the_host}");
    }
}

#[test]
fn a_machine_that_qemu_would_refuse_is_refused_before_the_start() {
    let mut vm = Vm::new(&Script::default());
    vm.machine.disk = std::ffi::OsString::from_vec(b"\xff.qcow2".to_vec()).into();
    assert_eq!(error(&mut vm, LONG).class(), ErrorClass::Config);
    assert!(!vm.log().exists());
}

#[test]
fn a_program_that_does_not_exist() {
    let vm = Vm::new(&Script::default());
    let missing =
        Qemu { program: "/nonexistent/qemu-system-x86_64".into(), version: Version::new(7, 2, 0), sandbox: false };
    let launch = Launch { qemu: &missing, machine: &vm.machine, log: vm.log(), deadline: LONG };
    let error = Error::from(launch.run(&vm.events).unwrap_err());
    assert_eq!(error.class(), ErrorClass::Host);
    insta::assert_snapshot!(error, @"cannot start /nonexistent/qemu-system-x86_64");
    assert!(error.log().unwrap().lines[0].contains("No such file or directory"), "{error:?}");
    assert_eq!(Qemu::at(missing.program).unwrap_err().class(), ErrorClass::Host);
}
