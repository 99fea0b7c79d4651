//! The processes of the host, read from `/proc`.
//!
//! It sends no signals and proves no identity.

mod stat;
mod working_directory;

use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind, Read};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use model::Result;
use rustix::process::{Pid, geteuid};

use crate::account_names::AccountNames;
use crate::io_error::at_path;

pub use stat::Stat;
pub use working_directory::{WorkingDirectory, working_directory};

/// Bytes that are enough for most files of a process.
const USUAL_LENGTH: usize = 4096;

/// One process as `/proc` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessInfo {
    /// The process id.
    pub pid: u32,
    /// The words of the command line; empty for kernel threads.
    pub arguments: Vec<OsString>,
    /// The name of its user, or the number if there is no name.
    pub user: String,
    /// Whether this is the user of this program.
    pub is_own: bool,
}

/// All processes that this user may see, without zombies.
///
/// # Errors
/// If `/proc` cannot be read.
pub fn processes() -> Result<Vec<ProcessInfo>> {
    let names = AccountNames::of_users();
    let mut found = Vec::new();
    for pid in pids()? {
        // A process that ends meanwhile is left out.
        found.extend(look(pid, &names)?);
    }
    Ok(found)
}

/// The process `pid`; `None` if there is none or it is a zombie.
///
/// # Errors
/// If `/proc` cannot be read.
pub fn process(pid: u32) -> Result<Option<ProcessInfo>> {
    look(pid, &AccountNames::of_users())
}

/// The state of the process `pid`; `None` if there is none.
///
/// # Errors
/// If `/proc` cannot be read.
pub fn stat(pid: u32) -> Result<Option<Stat>> {
    Ok(read(pid, "stat")?.and_then(|line| Stat::parse(&line)))
}

/// The words of the command line of `pid`, empty for kernel threads and zombies; `None` if there is no such process.
///
/// # Errors
/// If `/proc` cannot be read.
pub fn arguments(pid: u32) -> Result<Option<Vec<OsString>>> {
    Ok(read(pid, "cmdline")?.map(|line| words(&line)))
}

/// Whether any process of `group` has not ended yet.
pub(crate) fn group_is_alive(group: Pid) -> bool {
    let Ok(pids) = pids() else { return false };
    pids.into_iter()
        .any(|pid| matches!(stat(pid), Ok(Some(stat)) if stat.group == group.as_raw_pid() && !stat.is_dead()))
}

/// The pids of all processes that this user may see, sorted.
pub(crate) fn pids() -> Result<Vec<u32>> {
    let directory = Path::new("/proc");
    let failed = |error| at_path("read", directory, &error);
    let mut pids = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        pids.extend(entry.map_err(failed)?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
    }
    pids.sort_unstable();
    Ok(pids)
}

fn look(pid: u32, names: &AccountNames) -> Result<Option<ProcessInfo>> {
    if stat(pid)?.is_none_or(|stat| stat.is_dead()) {
        return Ok(None);
    }
    let Some(arguments) = arguments(pid)? else { return Ok(None) };
    match fs::metadata(directory(pid)) {
        Ok(metadata) => Ok(Some(ProcessInfo {
            pid,
            arguments,
            user: names.name(metadata.uid()),
            is_own: metadata.uid() == geteuid().as_raw(),
        })),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(at_path("read", &directory(pid), &error)),
    }
}

fn read(pid: u32, file: &str) -> Result<Option<Vec<u8>>> {
    let path = directory(pid).join(file);
    // The kernel reports no size, and generates the content anew for each read(2).
    let mut bytes = Vec::with_capacity(USUAL_LENGTH);
    match fs::File::open(&path).and_then(|mut file| file.read_to_end(&mut bytes)) {
        Ok(_) => Ok(Some(bytes)),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(at_path("read", &path, &error)),
    }
}

fn directory(pid: u32) -> PathBuf {
    Path::new("/proc").join(pid.to_string())
}

/// Whether the error says that the process has ended: its directory is missing, or ESRCH if a file of it was open. A
/// process that is hidden from this user (the mount option `hidepid` of proc(5)) counts as ended.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied)
        || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

/// The words of `/proc/PID/cmdline`, each of which ends with a NUL. The last NUL may be missing if the process has
/// rewritten its command line (setproctitle).
fn words(line: &[u8]) -> Vec<OsString> {
    let line = line.strip_suffix(b"\0").unwrap_or(line);
    if line.is_empty() {
        return Vec::new();
    }
    line.split(|byte| *byte == 0).map(|word| OsString::from_vec(word.to_vec())).collect()
}

/// The bytes of memory that a process shares with no other: `Private_Clean` and `Private_Dirty` of
/// `/proc/PID/smaps_rollup` (proc(5)). `None` if this user may not read them.
pub fn private_memory(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let kib = |line: &str| line.split_whitespace().nth(1)?.parse::<u64>().ok();
    let own = text.lines().filter(|line| line.starts_with("Private_Clean:") || line.starts_with("Private_Dirty:"));
    Some(own.filter_map(kib).sum::<u64>() * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_command_lines() {
        for (line, expected) in [
            (&b"/bin/sleep\x0060\0"[..], vec!["/bin/sleep", "60"]),
            (b"nginx: worker process", vec!["nginx: worker process"]),
            (b"sh\0-c\0\0", vec!["sh", "-c", ""]),
            (b"", vec![]),
        ] {
            assert_eq!(words(line), expected);
        }
    }

    #[test]
    fn finds_this_process() {
        let pid = std::process::id();
        let this = process(pid).unwrap().unwrap();
        assert_eq!(this.arguments, std::env::args_os().collect::<Vec<_>>());
        assert!(processes().unwrap().contains(&this));
    }

    #[test]
    fn no_process_has_pid_0() {
        assert_eq!(process(0).unwrap(), None);
    }

    #[test]
    fn a_zombie_is_not_a_process() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        let wait = crate::wait::Wait {
            what: "the zombie",
            deadline: std::time::Duration::from_secs(60),
            interval: std::time::Duration::from_millis(5),
        };
        wait.until(|_| {
            Ok(match stat(pid)? {
                Some(stat) if stat.is_dead() => crate::wait::Look::Ready(()),
                other => crate::wait::Look::NotYet(format!("{other:?}")),
            })
        })
        .unwrap();
        assert_eq!(process(pid).unwrap(), None);
        child.wait().unwrap();
        assert_eq!(stat(pid).unwrap(), None);
    }
}
