//! How many steps a start has, for "[3/8]".

use crate::context::Context;
use crate::instance::observe::Observed;
use crate::saved_vm::suspend;
use crate::saved_vm::template::Kind;

/// The steps from the VM's start on: of one that boots a new disk,
pub(super) const NEW: u32 = 8;
/// of one that boots the disk that is there, or runs,
pub(super) const BOOTING: u32 = 6;
/// of one that goes on from RAM,
pub(super) const GOING_ON: u32 = 5;
/// of one that begins anew from RAM and gets its application,
pub(super) const ANEW: u32 = 6;
/// of one that has it already,
pub(super) const WITH_APPLICATION: u32 = 3;
/// of a snapshot,
pub(super) const SNAPSHOT: u32 = 2;
/// or boots the disk of one,
pub(super) const SNAPSHOT_DISK: u32 = 3;
/// and without waiting.
pub(super) const NOT_WAITING: u32 = 1;

/// How many steps there will be from the VM's start on, as far as it can be told without looking closely.
pub(super) fn likely(context: &Context<'_>, observed: &Observed, waits: bool, rebuild: bool, is_snapshot: bool) -> u32 {
    let keeps = context.project.config.templates;
    let has = |kind: Kind| keeps && !rebuild && context.project.paths.templates().join(kind.name()).exists();
    match observed {
        _ if !waits => NOT_WAITING,
        Observed::Absent if is_snapshot => SNAPSHOT,
        Observed::Absent if has(Kind::Applied) => WITH_APPLICATION,
        Observed::Absent if has(Kind::Ready) => ANEW,
        Observed::Absent if keeps => NEW,
        Observed::Absent => BOOTING,
        Observed::Stopped if suspend::is_saved(&context.paths().suspended()) => GOING_ON,
        Observed::Stopped | Observed::Running(_) | Observed::Orphan(_) => BOOTING,
    }
}
