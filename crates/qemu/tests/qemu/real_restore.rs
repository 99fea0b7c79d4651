//! Save and restore with the real QEMU: a guest that counts resumes at its count.

use std::path::Path;
use std::time::Duration;

use host::wait::{Look, Wait};
use model::event::Silent;
use qemu::saved_state::{CompatibilityKey, NewSavedState};
use qemu::{Launched, Machine, MemoryBackend, Qemu, Qmp, Save, Saved, StoppedGuest, disk, qcow2, qemu_img};

use crate::boot_sector::COUNTING;
use crate::image_info::image_info;
use crate::real::{prepared_with, real_qemu};
use crate::vm::{LONG, Vm, quit};

/// A line that the guest prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Line {
    count: u16,
    sum: u16,
    uuid: u16,
}

/// The whole lines in the log.
fn lines(vm: &Vm) -> Vec<Line> {
    let log = std::fs::read_to_string(vm.log()).unwrap_or_default();
    let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let numbers = |line: &str| -> Option<Line> {
        let words: Vec<&str> = line.split_whitespace().collect();
        if words.iter().any(|word| word.len() != 4) || words.len() != 3 {
            return None;
        }
        let mut numbers = words.iter().filter_map(|word| u16::from_str_radix(word, 16).ok());
        Some(Line { count: numbers.next()?, sum: numbers.next()?, uuid: numbers.next()? })
    };
    whole.lines().filter_map(numbers).collect()
}

/// Waits until the guest has printed this many whole lines; returns all of them.
fn counts(vm: &Vm, least: usize) -> Vec<Line> {
    let wait = Wait { what: "the guest to count", deadline: LONG, interval: Duration::from_millis(5) };
    wait.until(|_| {
        let lines = lines(vm);
        Ok(if lines.len() >= least { Look::Ready(lines) } else { Look::NotYet(format!("{lines:?}")) })
    })
    .unwrap()
}

/// A VM with the guest that counts, RAM from `ram`, and a uuid that ends with `byte`.
fn counting(qemu: &Qemu, byte: u8, ram: &Path) -> Vm {
    let mut vm = prepared_with(qemu, COUNTING);
    vm.machine.uuid.replace_range(34.., &format!("{byte:02x}"));
    vm.machine.disk = vm.machine.directory.join("disk.qcow2");
    vm.machine.memory_backend = MemoryBackend::File(ram.to_owned());
    vm
}

/// Saves a VM without an earlier state.
fn save(vm: &Vm, qmp: &mut Qmp, ram: &Path, state: &Path) -> Saved {
    save_changed(vm, qmp, Path::new("/none"), ram, state)
}

fn save_changed(vm: &Vm, qmp: &mut Qmp, begun_from: &Path, ram: &Path, state: &Path) -> Saved {
    let save = Save { begun_from, ram, state, deadline: LONG };
    let prepared = save.prepare(qmp, &vm.events).unwrap();
    // A guest that was stopped before stays so.
    qmp.stop().unwrap();
    prepared.write(&mut StoppedGuest::stop(qmp, &vm.events).unwrap()).unwrap()
}

/// Asserts that `restored` continues after `before`, with its own uuid.
fn continues(before: Line, restored: &[Line], byte: u8) {
    // The saved guest may have printed a part of the first line.
    let first = restored[0];
    assert!((1..=2).contains(&(first.count - before.count)), "{before:?}, then {first:?}");
    for pair in restored.windows(2) {
        let expected = Line { count: pair[0].count + 1, sum: pair[0].sum + u16::from(byte), uuid: u16::from(byte) };
        assert_eq!(pair[1], expected);
    }
}

#[test]
fn vms_that_are_restored_from_one_state_diverge_and_do_not_change_it() {
    let Some(qemu) = real_qemu() else { return };
    let directory = tempfile::tempdir().unwrap();
    let new_state = NewSavedState::begin(&directory.path().join("the saved state, \"a\" ü")).unwrap();
    let (saved, running) = booted(&qemu);
    let mut qmp = saved.qmp();
    qmp.stop().unwrap();
    let mut guest = StoppedGuest::stop(&mut qmp, &saved.events).unwrap();
    let backing_file = saved.machine.directory.join("backing.qcow2");
    disk::add_overlay(&mut guest, &saved.machine.disk, &backing_file, &saved.events).unwrap();
    drop(guest);
    let written = save(&saved, &mut qmp, &new_state.ram(), &new_state.state());
    assert!(written.ram > 0 && (1..4 << 20).contains(&written.state), "{written:?}");
    quit(qmp, running);
    let before = *lines(&saved).last().unwrap();

    new_state.link_disk(&backing_file).unwrap();
    let base = saved.machine.directory.join("base, 1.qcow2");
    let compatibility_key = |machine: &Machine| {
        // Each VM of the test has its own copy of the same kernel, which must not count as a difference.
        let (kernel, initrd) = (saved.machine.kernel.clone(), saved.machine.initrd.clone());
        CompatibilityKey::of(&qemu, &Machine { kernel, initrd, ..machine.clone() }, &base, "counting 1").unwrap()
    };
    let saved_state =
        new_state.replace(saved.machine.memory, &compatibility_key(&saved.machine), LONG, &Silent).unwrap();
    let content = || {
        [saved_state.ram(), saved_state.state(), saved_state.paths().disk()].map(|path| std::fs::read(path).unwrap())
    };
    let before_restores = content();

    let mut clones = [counting(&qemu, 5, &saved_state.ram()), counting(&qemu, 9, &saved_state.ram())];
    for (clone, byte) in clones.iter_mut().zip([5, 9]) {
        let disk = clone.machine.directory.join("disk.qcow2");
        let size = qcow2::header(&saved_state.paths().disk()).unwrap().virtual_size;
        qcow2::create_overlay(&disk, &saved_state.paths().disk(), size).unwrap();
        assert_eq!(saved_state.fits(&compatibility_key(&clone.machine)), Ok(()));
        let forward = clone.forward(testkit::port::free(), 80);
        clone.machine.forwards.clear();
        clone
            .restore_with(&qemu, &saved_state.state(), |qmp| {
                // The saved VM did not have this port.
                Ok(qmp.add_forward(&forward)?)
            })
            .unwrap();
        continues(before, &counts(clone, 3), byte);
        drop(std::net::TcpStream::connect(forward.bind.socket(forward.host)).unwrap());
    }
    let [first, second] = &clones;
    assert_ne!(counts(first, 4)[3].sum, counts(second, 4)[3].sum, "each has RAM of its own");
    drop(clones);
    assert!(before_restores == content(), "the saved state was written to");
}

#[test]
fn a_state_that_is_cut_or_of_another_vm_is_refused_and_leaves_no_qemu() {
    let Some(qemu) = real_qemu() else { return };
    let directory = tempfile::tempdir().unwrap();
    let (ram, state) = (directory.path().join("ram"), directory.path().join("state"));
    let (saved, running) = booted(&qemu);
    let mut qmp = saved.qmp();
    let _ = save(&saved, &mut qmp, &ram, &state);
    quit(qmp, running);

    let mut other = counting(&qemu, 5, &ram);
    other.machine.cpus = 2;
    let error = other.restore_with(&qemu, &state, |_| Ok(())).unwrap_err();
    assert!(error.to_string().starts_with("the saved VM could not be loaded: "), "{error}");
    assert!(error.log().unwrap().lines.iter().any(|line| line.contains("load of migration failed")), "{error:?}");

    let bytes = std::fs::read(&state).unwrap();
    std::fs::write(&state, &bytes[..bytes.len() / 2]).unwrap();
    let mut clone = counting(&qemu, 5, &ram);
    let error = clone.restore_with(&qemu, &state, |_| Ok(())).unwrap_err();
    assert!(error.to_string().starts_with("the saved VM could not be loaded: "), "{error}");
    std::fs::write(&state, &bytes).unwrap();
    clone.restore_with(&qemu, &state, |_| Ok(())).expect("nothing is in the way of a good one");
}

/// A VM that has booted and counts.
fn booted(qemu: &Qemu) -> (Vm, Launched) {
    let mut vm = counting(qemu, 1, Path::new("unused"));
    vm.machine.memory_backend = MemoryBackend::Ram;
    let running = vm.launch_with(qemu, LONG).unwrap();
    counts(&vm, 2);
    (vm, running)
}

#[test]
fn ram_is_saved_and_mapped() {
    let Some(qemu) = real_qemu() else { return };
    let directory = tempfile::tempdir().unwrap();
    let name = |name: &str| directory.path().join(name);
    let (first, running) = booted(&qemu);
    let mut qmp = first.qmp();
    let written = save(&first, &mut qmp, &name("ram"), &name("1"));
    assert!(written.ram > 0 && written.state < 4 << 20, "{written:?}");
    assert_eq!(std::fs::metadata(name("ram")).unwrap().len(), first.machine.memory);
    let at_save = lines(&first);
    // It runs on, and the saved RAM stays as it is.
    qmp.cont().unwrap();
    continues(*at_save.last().unwrap(), &counts(&first, at_save.len() + 3)[at_save.len()..], 1);
    quit(qmp, running);

    let mut second = counting(&qemu, 7, &name("ram"));
    second.restore_with(&qemu, &name("1"), |_| Ok(())).unwrap();
    continues(*at_save.last().unwrap(), &counts(&second, 3), 7);
}

/// Whether a save has read the guest's RAM from QEMU's memory.
fn was_read(vm: &Vm) -> bool {
    vm.events.debug_lines().iter().any(|text| text.contains("of changed RAM read"))
}

#[test]
fn the_ram_of_a_vm_that_has_booted_is_read_from_qemus_memory_after_its_first_save() {
    let Some(qemu) = real_qemu() else { return };
    let directory = tempfile::tempdir().unwrap();
    let name = |name: &str| directory.path().join(name);
    let (first, running) = booted(&qemu);
    let mut qmp = first.qmp();
    let mut save_later = |begun_from: &str, into: &str, state: &str| {
        let (begun_from, into, state) = (name(begun_from), name(into), name(state));
        let save = Save { begun_from: &begun_from, ram: &into, state: &state, deadline: LONG };
        let prepared = save.prepare(&mut qmp, &first.events).unwrap();
        qmp.cont().unwrap();
        counts(&first, lines(&first).len() + 1);
        qmp.stop().unwrap();
        prepared.write(&mut StoppedGuest::stop(&mut qmp, &first.events).unwrap()).unwrap().complete().unwrap();
    };
    save_later("missing", "asked for", "1");
    assert!(!was_read(&first));
    save_later("1", "read", "2");
    assert!(was_read(&first));
    // A second save of the same moment.
    let _ = save(&first, &mut qmp, &name("whole"), &name("3"));
    let before = *lines(&first).last().unwrap();
    quit(qmp, running);
    assert!(std::fs::read(name("read")).unwrap() == std::fs::read(name("whole")).unwrap());
    for (ram, state) in [("read", "2"), ("whole", "3")] {
        let mut second = counting(&qemu, 9, &name(ram));
        second.restore_with(&qemu, &name(state), |_| Ok(())).unwrap();
        continues(before, &counts(&second, 3), 9);
    }
}

/// Two saves of one moment, one read from QEMU's memory and one written by QEMU, are equal, and the former can be restored.
#[test]
fn the_ram_of_a_restored_vm_is_what_it_has_changed_and_its_ram_file() {
    let Some(qemu) = real_qemu() else { return };
    let directory = tempfile::tempdir().unwrap();
    let name = |name: &str| directory.path().join(name);
    let (first, running) = booted(&qemu);
    let (mut qmp, state) = (first.qmp(), name("1"));
    // It was not restored, so QEMU writes all of its RAM.
    save(&first, &mut qmp, &name("ram"), &state).complete().unwrap();
    quit(qmp, running);

    let mut second = counting(&qemu, 7, &name("ram"));
    let running = second.restore_with(&qemu, &state, |_| Ok(())).unwrap();
    // As after a resume: the file has no name any more, and the VM still maps it.
    std::fs::rename(name("1"), name("begun")).unwrap();
    std::fs::remove_file(name("ram")).unwrap();
    counts(&second, 3);
    let mut qmp = second.qmp();
    save_changed(&second, &mut qmp, &name("begun"), &name("changed"), &name("2")).complete().unwrap();
    assert!(was_read(&second));
    save(&second, &mut qmp, &name("whole"), &name("3")).complete().unwrap();
    let before = *lines(&second).last().unwrap();
    assert!(std::fs::read(name("changed")).unwrap() == std::fs::read(name("whole")).unwrap());
    quit(qmp, running);

    for state in ["2", "3"] {
        let mut third = counting(&qemu, 9, &name("changed"));
        third.restore_with(&qemu, &name(state), |_| Ok(())).unwrap();
        continues(before, &counts(&third, 3), 9);
    }
}

#[test]
fn the_disk_of_a_running_vm_gets_overlay_after_overlay() {
    let Some(qemu) = real_qemu() else { return };
    let mut vm = prepared_with(&qemu, COUNTING);
    let directory = vm.machine.directory.clone();
    let disk = directory.join("disk.qcow2");
    vm.machine.disk = disk.clone();
    let running = vm.launch_with(&qemu, LONG).unwrap();
    let mut qmp = vm.qmp();
    let (first, second) = (directory.join("backing, 1"), directory.join("backing: \"2\""));
    for backing_file in [&first, &second] {
        let mut guest = StoppedGuest::stop(&mut qmp, &vm.events).unwrap();
        disk::add_overlay(&mut guest, &disk, backing_file, &vm.events).unwrap();
        guest.resume().unwrap();
        assert_eq!(image_info(&disk).backing_file.as_deref(), Some(backing_file.as_path()));
    }
    assert_eq!(image_info(&second).backing_file.as_deref(), Some(first.as_path()));

    // Where the name is taken, neither file changes.
    let mut guest = StoppedGuest::stop(&mut qmp, &vm.events).unwrap();
    disk::add_overlay(&mut guest, &disk, &first, &vm.events).unwrap_err();
    drop(guest);
    assert_eq!(image_info(&disk).backing_file.as_deref(), Some(second.as_path()));
    quit(qmp, running);

    let before = std::fs::read(&second).unwrap();
    let running = vm.launch_with(&qemu, LONG).unwrap();
    quit(vm.qmp(), running);
    assert!(before == std::fs::read(&second).unwrap());

    let base = directory.join("base, 1.qcow2");
    qemu_img::rebase(&disk, &base, Duration::from_secs(600)).unwrap();
    assert_eq!(image_info(&disk).backing_file.as_deref(), Some(base.as_path()));
}
