//! QEMU's filter of system calls (`-sandbox`, seccomp(2)): what a guest that has taken over its QEMU cannot ask the host's
//! kernel for. Whether a QEMU has it, and the kernel lets it have it, no version tells: it is tried once.

use std::path::Path;
use std::time::Duration;

use host::command::Command;
use host::program_version;
use model::paths::CachePaths;
use model::{ErrorClass, EventSink, Result};

use crate::last_words;

/// No obsolete calls, no other user, no other program, no change of priorities and processors (qemu(1)).
pub(crate) const FILTER: &str = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";

/// How long the trial may take.
const DEADLINE: Duration = Duration::from_secs(20);
/// What is remembered of a QEMU that can.
const CAN: &str = "it can";

/// Whether the QEMU at `program` can put itself under the filter, tried where that is not in the cache. One that cannot is
/// told of when it is found out, and is used all the same.
///
/// # Errors
/// Interrupted.
pub(crate) fn remembered(program: &Path, cache: &CachePaths, events: &dyn EventSink) -> Result<bool> {
    let what = format!("-sandbox {FILTER}, where seccomp mode is {}", mode());
    let told = program_version::remembered_of(program, &what, cache, events, |program| {
        let Some(why) = refusal(program)? else { return Ok(CAN.to_owned()) };
        events.warning(format!("QEMU runs without its filter of system calls, since it has none here: {why}"));
        Ok(why)
    })?;
    if told != CAN {
        events.debug(format!("QEMU runs without -sandbox: {told}"));
    }
    Ok(told == CAN)
}

/// Why the QEMU at `program` cannot; nothing where it can.
///
/// # Errors
/// Interrupted.
pub(crate) fn refusal(program: &Path) -> Result<Option<String>> {
    // A machine without anything, which is told to quit as soon as it is there.
    let words = ["-machine", "none", "-nodefaults", "-no-user-config", "-display", "none", "-monitor", "stdio"];
    let trial = Command::new(program).args(["-sandbox", FILTER]).args(words).input("quit\n").alone();
    match trial.deadline(DEADLINE).output() {
        Ok(output) if output.code == 0 => Ok(None),
        Ok(output) => {
            let lines: Vec<String> = String::from_utf8_lossy(&output.stderr).lines().map(str::to_owned).collect();
            Ok(Some(last_words::of(&lines)))
        }
        Err(error) if error.class() == ErrorClass::Interrupted => Err(error),
        Err(error) => Ok(Some(error.to_string())),
    }
}

/// The filter under which this very program runs (`Seccomp` in /proc/PID/status, proc(5)): a container shares the cache
/// with its host, and may refuse what that allows.
fn mode() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Seccomp:"));
    line.map_or_else(|| "unknown".to_owned(), |mode| mode.trim().to_owned())
}
