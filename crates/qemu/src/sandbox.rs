//! QEMU's filter of system calls (`-sandbox`, seccomp(2)), which limits what a guest can do that has taken over its QEMU.
//! Whether QEMU and the kernel support it does not follow from a version: it is tried once.

use std::path::Path;
use std::time::Duration;

use host::command::Command;
use host::program_version;
use model::paths::CachePaths;
use model::{ErrorClass, EventSink, Result};

use crate::last_words;

/// Denies obsolete calls, a change of user, new programs, and a change of priority or CPU affinity (qemu(1)).
pub(crate) const FILTER: &str = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";

/// How long the trial may take.
const DEADLINE: Duration = Duration::from_secs(20);
/// The cached result for a QEMU that supports it.
const SUPPORTED: &str = "it can";

/// Whether the QEMU at `program` supports the filter; it is tried where the cache does not say. The user is warned once of a
/// QEMU that does not, which is used nevertheless.
///
/// # Errors
/// Interrupted.
pub(crate) fn remembered(program: &Path, cache: &CachePaths, events: &dyn EventSink) -> Result<bool> {
    let what = format!("-sandbox {FILTER}, where seccomp mode is {}", mode());
    let result = program_version::remembered_of(program, &what, cache, events, |program| {
        let Some(why) = refusal(program)? else { return Ok(SUPPORTED.to_owned()) };
        events.warning(format!("QEMU runs without its filter of system calls, since it has none here: {why}"));
        Ok(why)
    })?;
    if result != SUPPORTED {
        events.debug(format!("QEMU runs without -sandbox: {result}"));
    }
    Ok(result == SUPPORTED)
}

/// Why the QEMU at `program` does not support it; `None` where it does.
///
/// # Errors
/// Interrupted.
pub(crate) fn refusal(program: &Path) -> Result<Option<String>> {
    // An empty machine that quits at once.
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

/// The seccomp mode of this program (`Seccomp` in /proc/PID/status, proc(5)). A container may share the cache with its host
/// and refuse what the host allows.
fn mode() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Seccomp:"));
    line.map_or_else(|| "unknown".to_owned(), |mode| mode.trim().to_owned())
}
