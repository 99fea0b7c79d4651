//! Ending a program with all of its process group: SIGTERM, a grace, SIGKILL.
//!
//! The leader stays unreaped meanwhile, so the group's number cannot pass to strangers.

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

/// How often is looked whether the group has gone.
const INTERVAL: Duration = Duration::from_millis(50);

/// Ends `group`, whose leader is not reaped. `leader_ended` takes the program's output for at most the given time and
/// returns whether the leader has ended. Returns what the user should know if the group could not be ended.
pub(super) fn end_group(group: Pid, leader_ended: &mut dyn FnMut(Duration) -> bool) -> Option<String> {
    for (signal, limit) in [(Signal::TERM, GRACE), (Signal::KILL, KILL_LIMIT)] {
        // The leader is not reaped, so the group exists; permission is all that can be lacking.
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

/// Kills the group without grace and reaps the leader if it can be had.
pub(super) fn kill_at_once(child: &mut Child) {
    if kill_process_group(Pid::from_child(child), Signal::KILL) == Err(Errno::PERM) {
        return;
    }
    let begin = Instant::now();
    // One that waits inside the kernel is not waited for.
    while matches!(child.try_wait(), Ok(None)) && begin.elapsed() < KILL_LIMIT {
        pause_regardless(Duration::from_millis(5));
    }
}
