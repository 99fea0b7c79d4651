//! A new overlay on the disk of a running VM: nothing may be lost where QEMU answers late, never, or refuses.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::Result;
use qemu::qmp::RunState;
use qemu::{Launched, Qmp, StoppedGuest, disk, qcow2};
use serde_json::json;
use testkit::Script;

use crate::vm::{LONG, Vm};

/// Less than the delay of late answers.
const SHORT: Duration = Duration::from_millis(500);

struct Attempt {
    vm: Vm,
    _launched: Launched,
    disk: PathBuf,
    backing_file: PathBuf,
    /// The inode that the disk had before.
    before: u64,
    result: Result<()>,
}

fn inode(path: &Path) -> Option<u64> {
    path.metadata().ok().map(|metadata| metadata.ino())
}

/// Adds an overlay to the disk of a VM with this script, over a connection with this deadline; the guest runs again after it.
fn add_overlay(script: Script, deadline: Duration) -> Attempt {
    let (vm, launched) = Vm::started(&script);
    let disk = vm.machine.directory.join("disk.qcow2");
    let backing_file = vm.machine.directory.join("backing.qcow2");
    qcow2::create_overlay(&disk, Path::new("/base.qcow2"), 1 << 30).unwrap();
    let before = inode(&disk).unwrap();
    let mut qmp = Qmp::connect(&vm.machine.directory, deadline).unwrap();
    let mut guest = StoppedGuest::stop(&mut qmp, &vm.events).unwrap();
    let result = disk::add_overlay(&mut guest, &disk, &backing_file, &vm.events);
    drop(guest);
    drop(qmp);
    assert_eq!(vm.qmp().status().unwrap(), RunState::Running, "the guest does not run again");
    Attempt { vm, _launched: launched, disk, backing_file, before, result }
}

impl Attempt {
    /// Whether `disk` is an overlay on the former disk.
    fn is_layered(&self) -> bool {
        let backing_file = qcow2::header(&self.disk).unwrap().backing_file;
        let is = backing_file.as_deref() == Some(&self.backing_file) && inode(&self.backing_file) == Some(self.before);
        let inodes = (inode(&self.disk), inode(&self.backing_file));
        assert!(is || inodes == (Some(self.before), None), "neither old nor new");
        is
    }
}

#[test]
fn an_overlay_that_qemu_accepts_stays_and_one_that_it_refuses_is_undone() {
    let done = add_overlay(Script::default(), LONG);
    done.result.as_ref().unwrap();
    assert!(done.is_layered());
    for command in ["blockdev-snapshot", "blockdev-add"] {
        let refusal = json!({"error": {"class": "GenericError", "desc": "Node is in use"}});
        let refused =
            add_overlay(Script { qmp: BTreeMap::from([(command.to_owned(), refusal)]), ..Script::default() }, LONG);
        assert!(refused.result.as_ref().unwrap_err().to_string().contains("no overlay was put on the disk"));
        assert!(!refused.is_layered(), "{command}");
    }
}

#[test]
fn an_overlay_whose_answer_came_late_was_undone_and_qemu_wrote_to_a_file_without_a_name() {
    let late = BTreeMap::from([("blockdev-snapshot".to_owned(), 700)]);
    let late = add_overlay(Script { late_ms: late, ..Script::default() }, SHORT);
    // QEMU was asked for its disk, and that answer came after the late one.
    late.result.as_ref().unwrap();
    assert!(late.is_layered());
}

#[test]
fn an_overlay_without_an_answer_is_judged_by_query_block() {
    for carried_out in [true, false] {
        let unanswered = BTreeMap::from([("blockdev-snapshot".to_owned(), carried_out)]);
        let attempt = add_overlay(Script { unanswered, ..Script::default() }, SHORT);
        assert_eq!(attempt.result.is_ok(), carried_out, "{:?}", attempt.result);
        assert_eq!(attempt.is_layered(), carried_out);
        let closed = attempt.vm.calls().iter().filter(|call| *call == "blockdev-del").count();
        assert_eq!(closed > 0, !carried_out, "only an overlay that QEMU does not use is closed");
    }
}

#[test]
fn a_disk_is_complete_where_qemu_does_not_say_whether_it_uses_the_overlay() {
    let unanswered = BTreeMap::from([("blockdev-snapshot".to_owned(), true)]);
    let script =
        Script { unanswered, refuse_after: BTreeMap::from([("query-block".to_owned(), 1)]), ..Script::default() };
    let attempt = add_overlay(script, SHORT);
    let error = attempt.result.as_ref().unwrap_err().to_string();
    assert!(error.contains("QEMU does not tell which disk it writes to"), "{error}");
    assert!(attempt.is_layered(), "undone although QEMU may use it");
}

#[test]
fn a_paused_guest_is_resumed_also_where_the_answer_is_late() {
    let late = BTreeMap::from([("cont".to_owned(), 700), ("stop".to_owned(), 100)]);
    let (vm, _launched) = Vm::started(&Script { late_ms: late, ..Script::default() });
    let mut qmp = Qmp::connect(&vm.machine.directory, SHORT).unwrap();
    let guest = StoppedGuest::stop(&mut qmp, &vm.events).unwrap();
    guest.resume().unwrap();
    drop(qmp);
    assert_eq!(vm.qmp().status().unwrap(), RunState::Running);
    // A `stop` without an answer may have been carried out: the guest is resumed.
    let unanswered = BTreeMap::from([("stop".to_owned(), true)]);
    let (vm, _launched) = Vm::started(&Script { unanswered, ..Script::default() });
    let mut qmp = Qmp::connect(&vm.machine.directory, SHORT).unwrap();
    assert!(StoppedGuest::stop(&mut qmp, &vm.events).is_err());
    drop(qmp);
    assert_eq!(vm.qmp().status().unwrap(), RunState::Running);
}
