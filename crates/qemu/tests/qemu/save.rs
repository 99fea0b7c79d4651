//! Save and restore against the fake: failures, and what they leave.

use std::path::PathBuf;
use std::time::Duration;

use model::{Error, ErrorClass};
use qemu::qmp::RunState;
use qemu::{LaunchError, Launched, MemoryBackend, Save, StoppedGuest, Version};
use serde_json::json;
use testkit::Script;
use testkit::script::{Death, Migration};

use crate::vm::{LONG, Vm};

const SHORT: Duration = Duration::from_millis(300);

fn script(migration: Migration) -> Script {
    Script { migration, ..Script::default() }
}

/// A VM whose RAM is in a file.
fn vm(script: &Script) -> Vm {
    let mut vm = Vm::new(script);
    let ram = vm.machine.directory.join("ram");
    std::fs::File::create(&ram).unwrap().set_len(vm.machine.memory).unwrap();
    vm.machine.memory_backend = MemoryBackend::File(ram);
    vm
}

fn running(script: &Script) -> (Vm, Launched) {
    let mut vm = vm(script);
    let launched = vm.launch(LONG).unwrap();
    (vm, launched)
}

fn file(vm: &Vm, name: &str) -> PathBuf {
    vm.machine.directory.join(name)
}

/// Saves the VM to `state` and `saved ram`.
fn save(vm: &Vm, deadline: Duration) -> Result<qemu::Saved, Error> {
    let (begun_from, ram, state) = (file(vm, "none"), file(vm, "saved ram"), file(vm, "state"));
    let save = Save { begun_from: &begun_from, ram: &ram, state: &state, deadline };
    let mut qmp = vm.qmp();
    let prepared = save.prepare(&mut qmp, &vm.events)?;
    prepared.write(&mut StoppedGuest::stop(&mut qmp, &vm.events)?)
}

/// The names of QMP's commands, after the first of them.
fn commands(vm: &Vm, first: &str) -> Vec<String> {
    let calls = vm.calls();
    let begin = calls.iter().position(|call| call == first).unwrap_or(calls.len());
    calls[begin..].to_vec()
}

#[test]
fn a_saved_vm_runs_on_and_is_restored_and_each_step_is_logged() {
    let (vm, _launched) = running(&Script::default());
    let saved = save(&vm, LONG).unwrap();
    assert_eq!(saved.ram, 0, "the fake's RAM is all zeros");
    assert_eq!(std::fs::metadata(file(&vm, "saved ram")).unwrap().len(), vm.machine.memory);
    assert_eq!(saved.state, std::fs::metadata(file(&vm, "state")).unwrap().len());
    assert_eq!(vm.qmp().status().unwrap(), RunState::Running);
    insta::assert_snapshot!(commands(&vm, "query-memdev").join(" "), @"query-memdev query-memdev qom-get migrate-set-capabilities human-monitor-command query-status stop qom-get migrate-set-parameters getfd migrate cont qmp_capabilities query-status");

    let mut clone = self::vm(&Script::default());
    let state = file(&vm, "state");
    let mut seen = None;
    clone
        .restore_with(&crate::vm::fake(), &state, |qmp| {
            seen = Some(qmp.status()?);
            Ok(())
        })
        .unwrap();
    assert_eq!(seen, Some(RunState::Paused));
    assert_eq!(clone.qmp().status().unwrap(), RunState::Running);
    insta::assert_snapshot!(commands(&clone, "migrate-set-capabilities").join(" "), @"migrate-set-capabilities getfd migrate-incoming query-status cont qmp_capabilities query-status");
    let steps = |vm: &Vm| {
        let lines = vm.events.debug_lines();
        let steps: Vec<String> = lines.iter().filter_map(|line| Some(line.split_once(" (+")?.0.to_owned())).collect();
        steps.join("\n")
    };
    insta::assert_snapshot!(steps(&vm), @r"
    save: prepared
    save: guest stopped
    save: devices and 0 bytes of RAM written
    ");
    insta::assert_snapshot!(steps(&clone), @r"
    restore: QEMU started
    restore: device state loaded
    restore: prepared while it is paused
    restore: guest resumed
    ");
}

#[test]
fn newer_versions_get_a_file_and_older_ones_a_descriptor() {
    for (version, expected) in [(Version::new(7, 2, 22), "fd:state"), (Version::new(8, 2, 0), "file:/dev/fdset/1")] {
        let mut vm = vm(&Script::default());
        vm.machine.version = version;
        let state = file(&vm, "the state");
        std::fs::write(&state, "QEVM\0\0\0\u{3}").unwrap();
        vm.restore_with(&crate::vm::fake(), &state, |_| Ok(())).unwrap();
        let calls = Script::received(&vm.machine.directory);
        let migrate = calls.iter().find(|call| call["execute"] == "migrate-incoming").unwrap();
        assert_eq!(migrate["arguments"], json!({"uri": expected}));
    }
}

#[test]
fn after_a_failed_save_the_guest_runs_on_and_no_file_is_left() {
    let (vm, _launched) = running(&script(Migration::Fail("Unable to write: No space left".to_owned())));
    let error = save(&vm, LONG).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Failed);
    insta::assert_snapshot!(error, @"the VM was not saved: QEMU could not transfer the VM's state: Unable to write: No space left");
    assert_eq!(vm.qmp().status().unwrap(), RunState::Running);
    assert!(!file(&vm, "saved ram").exists() && !file(&vm, "state").exists());
}

#[test]
fn a_guest_that_was_paused_stays_paused_after_a_failed_save() {
    let (vm, _launched) = running(&script(Migration::Fail("no".to_owned())));
    vm.qmp().stop().unwrap();
    save(&vm, LONG).unwrap_err();
    assert_eq!(vm.count("cont"), 0);
}

#[test]
fn a_file_that_exists_is_not_overwritten() {
    let (vm, _launched) = running(&Script::default());
    std::fs::write(file(&vm, "state"), "precious").unwrap();
    let error = save(&vm, LONG).unwrap_err();
    assert!(error.to_string().contains("File exists"), "{error}");
    assert_eq!(std::fs::read_to_string(file(&vm, "state")).unwrap(), "precious");
    assert_eq!(vm.count("stop"), 0);

    std::fs::remove_file(file(&vm, "state")).unwrap();
    let (vm, _launched) = running(&Script::default());
    let into = file(&vm, "saved ram");
    std::fs::write(&into, "precious").unwrap();
    save(&vm, LONG).unwrap_err();
    assert_eq!(std::fs::read_to_string(&into).unwrap(), "precious");
    assert!(!file(&vm, "state").exists());
}

#[test]
fn a_save_that_hangs_is_cancelled_at_its_deadline() {
    let (vm, _launched) = running(&script(Migration::Hang));
    let error = save(&vm, SHORT).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Timeout);
    assert_eq!(
        error.to_string(),
        "the VM was not saved: gave up waiting for the VM's state to be written after 300ms: QEMU says: active"
    );
    assert_eq!(vm.count("migrate_cancel"), 1);
    assert_eq!(vm.qmp().status().unwrap(), RunState::Running);
    assert!(!file(&vm, "saved ram").exists() && !file(&vm, "state").exists());
}

#[test]
fn a_qemu_that_dies_during_a_save_is_reported_and_no_file_is_left() {
    let death = Death { stderr: "qemu-system-x86_64: oh".to_owned(), code: 1 };
    let (vm, _launched) = running(&script(Migration::Die(death)));
    let error = save(&vm, LONG).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Guest);
    assert_eq!(error.to_string(), "the VM was not saved: QEMU ended while we waited for the VM's state to be written");
    assert!(!file(&vm, "saved ram").exists() && !file(&vm, "state").exists());
}

/// The error of a restore that must fail; nothing may run after it.
fn not_restored(vm: &mut Vm, state: &str) -> Error {
    let path = file(vm, "the state");
    std::fs::write(&path, state).unwrap();
    let error = vm.restore_with(&crate::vm::fake(), &path, |_| Ok(())).unwrap_err();
    let pid = std::fs::read_to_string(&vm.machine.pid_file).unwrap_or_default();
    if let Ok(pid) = pid.trim().parse() {
        assert_eq!(host::identity::ProcessIdentity::of(pid).unwrap(), None, "a QEMU is left");
    }
    error
}

#[test]
fn a_state_that_qemu_does_not_load_is_reported_in_its_words() {
    let mut vm = self::vm(&Script::default());
    let error = not_restored(&mut vm, "no stream");
    assert_eq!(error.class(), ErrorClass::Guest);
    insta::assert_snapshot!(error, @"the saved VM could not be loaded: QEMU ended while we waited for the VM's state to be read");
    insta::assert_snapshot!(error.log().unwrap().lines.join("\n"), @r"
    qemu-system-x86_64: Not a migration stream
    qemu-system-x86_64: load of migration failed: Invalid argument
    ");

    let text = "qemu-system-x86_64: Unknown savevm section or instance '0000:00:06.0/virtio-net' 0";
    let mut vm = self::vm(&script(Migration::Die(Death { stderr: text.to_owned(), code: 1 })));
    let error = not_restored(&mut vm, "QEVM");
    assert_eq!(error.log().unwrap().lines, [text]);

    let mut vm = self::vm(&script(Migration::Fail("Channel error".to_owned())));
    insta::assert_snapshot!(not_restored(&mut vm, "QEVM"), @"the saved VM could not be loaded: QEMU could not transfer the VM's state: Channel error");
}

#[test]
fn a_restore_that_hangs_ends_at_its_deadline_and_leaves_no_qemu() {
    let mut vm = self::vm(&script(Migration::Hang));
    let path = file(&vm, "the state");
    std::fs::write(&path, "QEVM").unwrap();
    let fake = crate::vm::fake();
    let launch = qemu::Launch { qemu: &fake, machine: &vm.machine, log: vm.log(), deadline: LONG };
    let restore = qemu::Restore { launch, state: &path, deadline: SHORT, working_set: None };
    let error = restore.run(&vm.events, |_| Ok(())).unwrap_err();
    assert!(matches!(error, LaunchError::StateUnusable(_)), "{error:?}");
    assert_eq!(Error::from(error).class(), ErrorClass::Timeout);
    vm.launch(LONG).expect("the pid file is free");
}

#[test]
fn ram_that_is_missing_or_cut_is_noticed_before_qemu_would_create_it() {
    let mut vm = self::vm(&Script::default());
    let ram = file(&vm, "ram");
    std::fs::File::options().write(true).open(&ram).unwrap().set_len(4096).unwrap();
    let error = not_restored(&mut vm, "QEVM");
    assert!(
        error.to_string().ends_with("ram is not the RAM of this VM: it has 4096 bytes, the VM has 134217728"),
        "{error}"
    );
    std::fs::remove_file(&ram).unwrap();
    let error = not_restored(&mut vm, "QEVM");
    assert!(error.to_string().ends_with("ram: No such file or directory"), "{error}");
    assert!(!ram.exists() && !vm.log().exists(), "no QEMU was started");
}

#[test]
fn a_failure_before_the_guest_is_resumed_ends_the_restore() {
    let mut vm = self::vm(&Script::default());
    let path = file(&vm, "the state");
    std::fs::write(&path, "QEVM\0\0\0\u{3}").unwrap();
    let refuse = |_: &mut qemu::Qmp| Err(Error::new(ErrorClass::Port, "a port is taken"));
    let error = vm.restore_with(&crate::vm::fake(), &path, refuse).unwrap_err();
    assert_eq!((error.class(), error.what()), (ErrorClass::Port, "a port is taken"));
    assert_eq!(vm.count("cont"), 0);
    vm.launch(LONG).expect("the pid file is free");
}

/// A connection from before the load, when the VM's clock was at zero, expired at once after it, and was answered only when
/// TCP retransmitted, after six seconds.
#[test]
fn ports_are_opened_when_the_state_is_loaded_and_a_taken_one_is_reported_before_anything_is_given_up() {
    let (saved, _launched) = running(&Script::default());
    let _ = save(&saved, LONG).unwrap();
    let state = file(&saved, "state");
    let listening = Script { listen: true, ..Script::default() };
    let mut clone = self::vm(&listening);
    clone.forward(testkit::port::free(), 80);
    clone.restore_with(&crate::vm::fake(), &state, |_| Ok(())).unwrap();
    insta::assert_snapshot!(commands(&clone, "migrate-incoming").join(" "), @"migrate-incoming human-monitor-command cont");

    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = model::port::Port::new(holder.local_addr().unwrap().port()).unwrap();
    let mut second = self::vm(&listening);
    second.forward(testkit::port::free(), 80);
    second.forward(port, 81);
    let mut was_given_up = false;
    let error = second.restore_with(&crate::vm::fake(), &state, |_| {
        was_given_up = true;
        Ok(())
    });
    let error = error.unwrap_err();
    assert_eq!((error.class(), was_given_up), (ErrorClass::Port, false));
    assert_eq!(error.what(), format!("port {port} on 127.0.0.1 is taken"));
    drop(holder);
    second.launch(LONG).expect("no QEMU is left");
}
