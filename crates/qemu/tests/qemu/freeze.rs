//! The disk of a VM is frozen, and QEMU answers late, never, or refuses: nothing that it writes may be lost.

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

/// Shorter than the answers that are late.
const SHORT: Duration = Duration::from_millis(500);

struct Frozen {
    vm: Vm,
    _launched: Launched,
    disk: PathBuf,
    frozen: PathBuf,
    /// What the disk was.
    before: u64,
    result: Result<()>,
}

fn inode(path: &Path) -> Option<u64> {
    path.metadata().ok().map(|metadata| metadata.ino())
}

/// Freezes the disk of a VM whose QEMU follows the script, by a connection of this deadline; the guest runs again after it.
fn freeze(script: Script, deadline: Duration) -> Frozen {
    let (vm, launched) = Vm::started(&script);
    let disk = vm.machine.directory.join("disk.qcow2");
    let frozen = vm.machine.directory.join("frozen.qcow2");
    qcow2::create_overlay(&disk, Path::new("/base.qcow2"), 1 << 30).unwrap();
    let before = inode(&disk).unwrap();
    let mut qmp = Qmp::connect(&vm.machine.directory, deadline).unwrap();
    let mut guest = StoppedGuest::stop(&mut qmp, &vm.events).unwrap();
    let result = disk::freeze(&mut guest, &disk, &frozen, &vm.events);
    drop(guest);
    drop(qmp);
    assert_eq!(vm.qmp().status().unwrap(), RunState::Running, "the guest does not run again");
    Frozen { vm, _launched: launched, disk, frozen, before, result }
}

impl Frozen {
    /// Whether `disk` is an overlay on what it was before.
    fn is_layered(&self) -> bool {
        let base = qcow2::header(&self.disk).unwrap().backing_file;
        let is = base.as_deref() == Some(&self.frozen) && inode(&self.frozen) == Some(self.before);
        assert!(is || (inode(&self.disk), inode(&self.frozen)) == (Some(self.before), None), "neither old nor new");
        is
    }
}

#[test]
fn a_freeze_that_is_answered_is_done_and_one_that_is_refused_is_undone() {
    let done = freeze(Script::default(), LONG);
    done.result.as_ref().unwrap();
    assert!(done.is_layered());
    for command in ["blockdev-snapshot", "blockdev-add"] {
        let refusal = json!({"error": {"class": "GenericError", "desc": "Node is in use"}});
        let refused =
            freeze(Script { qmp: BTreeMap::from([(command.to_owned(), refusal)]), ..Script::default() }, LONG);
        assert!(refused.result.as_ref().unwrap_err().to_string().contains("was not frozen"));
        assert!(!refused.is_layered(), "{command}");
    }
}

#[test]
fn a_freeze_that_was_answered_too_late_was_undone_and_qemu_wrote_into_a_file_without_a_name() {
    let late = BTreeMap::from([("blockdev-snapshot".to_owned(), 700)]);
    let late = freeze(Script { late_ms: late, ..Script::default() }, SHORT);
    // QEMU was asked, and its answer came behind the late one.
    late.result.as_ref().unwrap();
    assert!(late.is_layered());
}

#[test]
fn a_freeze_that_is_never_answered_is_what_query_block_tells() {
    for carried_out in [true, false] {
        let unanswered = BTreeMap::from([("blockdev-snapshot".to_owned(), carried_out)]);
        let frozen = freeze(Script { unanswered, ..Script::default() }, SHORT);
        assert_eq!(frozen.result.is_ok(), carried_out, "{:?}", frozen.result);
        assert_eq!(frozen.is_layered(), carried_out);
        let closed = frozen.vm.calls().iter().filter(|call| *call == "blockdev-del").count();
        assert_eq!(closed > 0, !carried_out, "the overlay that QEMU does not use stays open, or the other way");
    }
}

#[test]
fn a_freeze_of_which_qemu_tells_nothing_leaves_a_disk_that_has_everything() {
    let unanswered = BTreeMap::from([("blockdev-snapshot".to_owned(), true)]);
    let script =
        Script { unanswered, refuse_after: BTreeMap::from([("query-block".to_owned(), 1)]), ..Script::default() };
    let frozen = freeze(script, SHORT);
    let told = frozen.result.as_ref().unwrap_err().to_string();
    assert!(told.contains("QEMU does not tell which disk it writes to"), "{told}");
    assert!(frozen.is_layered(), "undone although QEMU may use it");
}

#[test]
fn a_guest_that_was_stopped_resumes_also_where_the_answer_is_late() {
    let late = BTreeMap::from([("cont".to_owned(), 700), ("stop".to_owned(), 100)]);
    let (vm, _launched) = Vm::started(&Script { late_ms: late, ..Script::default() });
    let mut qmp = Qmp::connect(&vm.machine.directory, SHORT).unwrap();
    let guest = StoppedGuest::stop(&mut qmp, &vm.events).unwrap();
    guest.resume().unwrap();
    drop(qmp);
    assert_eq!(vm.qmp().status().unwrap(), RunState::Running);
    // A stop without an answer may have happened: it is taken back.
    let unanswered = BTreeMap::from([("stop".to_owned(), true)]);
    let (vm, _launched) = Vm::started(&Script { unanswered, ..Script::default() });
    let mut qmp = Qmp::connect(&vm.machine.directory, SHORT).unwrap();
    assert!(StoppedGuest::stop(&mut qmp, &vm.events).is_err());
    drop(qmp);
    assert_eq!(vm.qmp().status().unwrap(), RunState::Running);
}
