//! Ends a process group: SIGTERM, a grace period, SIGKILL.
//!
//! The leader must not be reaped before, so that the group's number cannot be reused.

use std::process::Child;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group};

use crate::interrupt::pause_regardless;
use crate::process_table::group_is_alive;

/// How long a program may clean up after SIGTERM.
const GRACE: Duration = Duration::from_secs(5);

/// How long the kernel may take to end a killed program.
const KILL_LIMIT: Duration = Duration::from_secs(5);

/// The pause between two checks whether the group is gone.
const INTERVAL: Duration = Duration::from_millis(50);

/// Ends `group`, whose leader is not reaped. `leader_ended` takes the program's output for at most the given time and
/// returns whether the leader has ended. Returns what the user should know if the group could not be ended.
pub(super) fn end_group(group: Pid, leader_ended: &mut dyn FnMut(Duration) -> bool) -> Option<String> {
    for (signal, limit) in [(Signal::TERM, GRACE), (Signal::KILL, KILL_LIMIT)] {
        // The group exists because its leader is not reaped, so only permission can be lacking.
        if kill_process_group(group, signal) == Err(Errno::PERM) {
            return Some(format!("process {group} runs as another user, could not be ended and still runs"));
        }
        if is_gone_within(limit, group, leader_ended) {
            return None;
        }
    }
    Some(format!("process {group} could not be ended: it waits inside the kernel"))
}

fn is_gone_within(limit: Duration, group: Pid, leader_ended: &mut dyn FnMut(Duration) -> bool) -> bool {
    let begin = Instant::now();
    while begin.elapsed() < limit {
        if leader_ended(INTERVAL) {
            if !group_is_alive(group) {
                return true;
            }
            // An ended leader makes every poll return at once.
            pause_regardless(INTERVAL);
        }
    }
    false
}

/// Kills the group at once and reaps the leader, if it ends in time.
pub(super) fn kill_at_once(child: &mut Child) {
    if kill_process_group(Pid::from_child(child), Signal::KILL) == Err(Errno::PERM) {
        return;
    }
    let begin = Instant::now();
    // A process that hangs in the kernel does not end.
    while matches!(child.try_wait(), Ok(None)) && begin.elapsed() < KILL_LIMIT {
        pause_regardless(Duration::from_millis(5));
    }
}
