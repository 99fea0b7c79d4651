//! Proves that a process is the expected one, and signals only that one.
//!
//! It never signals by pid: between a check and kill(2) the pid may be given to another process.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use model::{Error, ErrorClass, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

use crate::process_table::{ProcessInfo, WorkingDirectory};
use crate::{interrupt, io_error, process_table};

/// How long a process may have an empty command line after its start. Kernel threads and dying processes have none at
/// all.
const EXEC_LIMIT: Duration = Duration::from_secs(2);

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Identifies a process among all processes, past and future.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// The process id.
    pub pid: u32,
    /// Start time in clock ticks since boot (field 22 of `/proc/PID/stat`, proc(5)).
    pub start_ticks: u64,
    /// `/proc/sys/kernel/random/boot_id` of the boot in which it was started.
    pub boot_id: String,
}

impl ProcessIdentity {
    /// Whether the process was started in the present boot of the host. One of a former boot is dead.
    ///
    /// # Errors
    /// If `/proc` cannot be read.
    pub fn is_of_this_boot(&self) -> Result<bool> {
        Ok(self.boot_id == boot_id()?)
    }

    /// The identity of the process `pid`; `None` if there is none or it is a zombie.
    ///
    /// # Errors
    /// If `/proc` cannot be read.
    pub fn of(pid: u32) -> Result<Option<Self>> {
        let Some(stat) = process_table::stat(pid)?.filter(|stat| !stat.is_dead()) else { return Ok(None) };
        Ok(Some(ProcessIdentity { pid, start_ticks: stat.start_ticks, boot_id: boot_id()? }))
    }
}

/// The id of the present boot of the host (`/proc/sys/kernel/random/boot_id`, random(4)).
///
/// # Errors
/// If `/proc` cannot be read.
pub fn boot_id() -> Result<String> {
    let path = std::path::Path::new(BOOT_ID);
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(error) => Err(io_error::at_path("read", path, &error)),
    }
}

/// The command line. It is empty until execve(2) has set it up, which may be after the parent continues, so this waits
/// for it.
fn arguments(pid: u32) -> Result<Vec<OsString>> {
    let begin = Instant::now();
    loop {
        match process_table::arguments(pid)? {
            // An interrupt must not end this wait: cleaning up after one needs the process, too.
            Some(words) if words.is_empty() && begin.elapsed() < EXEC_LIMIT => {
                interrupt::pause_regardless(Duration::from_millis(2));
            }
            words => return Ok(words.unwrap_or_default()),
        }
    }
}

/// A process with a proven identity, held by a pidfd (pidfd_open(2)): no signal can reach a later process with its pid.
#[derive(Debug)]
pub struct ProcessHandle {
    pid: u32,
    pidfd: OwnedFd,
}

impl ProcessHandle {
    /// Opens the process with this identity, if `argument` is one of the words of its command line. Returns `None` if
    /// it is dead or the pid belongs to another process. The pidfd is opened before the checks.
    ///
    /// # Errors
    /// If `/proc` cannot be read or the kernel has no pidfds (before Linux 5.3).
    pub fn open(identity: &ProcessIdentity, argument: &str) -> Result<Option<Self>> {
        Self::proven(identity.pid, || {
            Ok(ProcessIdentity::of(identity.pid)?.as_ref() == Some(identity)
                && arguments(identity.pid)?.iter().any(|word| word == argument))
        })
    }

    /// Opens the process `pid`, if `is_the_one` accepts it and its present working directory. Returns `None` if it is
    /// dead or not accepted. The pidfd is opened before the check.
    ///
    /// # Errors
    /// As [`ProcessHandle::open`].
    pub fn prove(pid: u32, is_the_one: impl FnOnce(&ProcessInfo, &WorkingDirectory) -> bool) -> Result<Option<Self>> {
        Self::proven(pid, || {
            let Some(process) = process_table::process(pid)? else { return Ok(false) };
            Ok(is_the_one(&process, &process_table::working_directory(pid)))
        })
    }

    fn proven(pid: u32, is_the_one: impl FnOnce() -> Result<bool>) -> Result<Option<Self>> {
        let Some(raw) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(None) };
        let pidfd = match pidfd_open(raw, PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            // EINVAL and ENOENT: the pid is that of a thread.
            Err(Errno::SRCH | Errno::INVAL | Errno::NOENT) => return Ok(None),
            Err(error) => return Err(cannot("watch", pid, error)),
        };
        let handle = ProcessHandle { pid, pidfd };
        // It is alive after the check, so /proc has shown this process and no later one with its pid.
        Ok((is_the_one()? && handle.is_alive()).then_some(handle))
    }

    /// The process id, for messages.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether the process has not ended. A zombie has ended; a stopped process has not.
    pub fn is_alive(&self) -> bool {
        !matches!(self.poll(Duration::ZERO), Ok(true))
    }

    /// Sends SIGTERM. Succeeds if the process has ended already.
    ///
    /// # Errors
    /// A Host error if this user may not signal it.
    pub fn terminate(&self) -> Result<()> {
        self.signal(Signal::TERM)
    }

    /// Sends SIGKILL. Succeeds if the process has ended already.
    ///
    /// # Errors
    /// A Host error if this user may not signal it.
    pub fn kill(&self) -> Result<()> {
        self.signal(Signal::KILL)
    }

    /// Waits for the end of the process. Returns whether it ended within `deadline`.
    ///
    /// # Errors
    /// Of class Interrupted if the user interrupts.
    pub fn wait(&self, deadline: Duration) -> Result<bool> {
        let begin = Instant::now();
        loop {
            let left = deadline.saturating_sub(begin.elapsed());
            if self.poll(left).map_err(|error| cannot("watch", self.pid, error))? {
                return Ok(true);
            }
            interrupt::check().map_err(|error| error.context(format!("stopped waiting for process {}", self.pid)))?;
            if begin.elapsed() >= deadline {
                return Ok(false);
            }
        }
    }

    /// Waits up to `limit`, or until an interrupt. Returns whether the process has ended, which makes a pidfd readable.
    fn poll(&self, limit: Duration) -> Result<bool, Errno> {
        let wake = interrupt::wake_fd();
        let mut fds = vec![PollFd::new(&self.pidfd, PollFlags::IN)];
        fds.extend(wake.iter().map(|fd| PollFd::new(fd, PollFlags::IN)));
        match poll(&mut fds, Some(&interrupt::timespec(limit))) {
            Ok(_) => Ok(!fds[0].revents().is_empty()),
            Err(Errno::INTR) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        match pidfd_send_signal(&self.pidfd, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(cannot("signal", self.pid, error)),
        }
    }
}

fn cannot(action: &str, pid: u32, error: Errno) -> Error {
    let failed =
        |class| Error::new(class, format!("cannot {action} process {pid}")).because(io_error::text(&error.into()));
    match error {
        Errno::PERM => failed(ErrorClass::Host)
            .next(format!("`ps -o user= -p {pid}` shows its user; run the command as that user")),
        Errno::NOSYS => failed(ErrorClass::Host).next("use Linux 5.3 or newer, which has pidfd_open(2)"),
        _ => failed(ErrorClass::Failed),
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use rustix::process::kill_process;

    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    /// A child that is killed and reaped at the end of the test.
    struct Sleeper(Child);

    impl Sleeper {
        fn new(seconds: &str) -> Self {
            Sleeper(Command::new("sleep").arg(seconds).spawn().unwrap())
        }
        fn identity(&self) -> ProcessIdentity {
            ProcessIdentity::of(self.0.id()).unwrap().unwrap()
        }
        fn handle(&self) -> ProcessHandle {
            ProcessHandle::open(&self.identity(), "1000").unwrap().unwrap()
        }
    }

    impl Drop for Sleeper {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn finds_the_process_again() {
        let sleeper = Sleeper::new("1000");
        assert_eq!(sleeper.identity(), sleeper.identity());
        let handle = sleeper.handle();
        assert_eq!(handle.pid(), sleeper.0.id());
        assert!(handle.is_alive());
        assert!(!handle.wait(Duration::ZERO).unwrap());
    }

    #[test]
    fn refuses_every_other_process() {
        let sleeper = Sleeper::new("1000");
        let identity = sleeper.identity();
        let none = |identity: &ProcessIdentity, argument: &str| {
            assert!(ProcessHandle::open(identity, argument).unwrap().is_none(), "{identity:?} {argument}");
        };
        none(&identity, "100");
        none(&identity, "");
        none(&identity, "sleep 1000");
        none(&ProcessIdentity { start_ticks: identity.start_ticks + 1, ..identity.clone() }, "1000");
        none(
            &ProcessIdentity { boot_id: "00000000-0000-0000-0000-000000000000".to_owned(), ..identity.clone() },
            "1000",
        );
        none(&ProcessIdentity { pid: std::process::id(), ..identity.clone() }, "1000");
        for pid in [0, u32::MAX, i32::MAX as u32] {
            none(&ProcessIdentity { pid, ..identity.clone() }, "1000");
        }
    }

    #[test]
    fn the_check_gets_the_process_and_its_working_directory() {
        let sleeper = Sleeper::new("1000");
        let pid = sleeper.0.id();
        let here = std::env::current_dir().unwrap();
        let proven = ProcessHandle::prove(pid, |process, directory| process.pid == pid && directory.is(&here)).unwrap();
        assert_eq!(proven.unwrap().pid(), pid);
        assert!(ProcessHandle::prove(pid, |_, _| false).unwrap().is_none());
        for pid in [0, u32::MAX] {
            assert!(ProcessHandle::prove(pid, |_, _| panic!("no process to check")).unwrap().is_none());
        }
    }

    #[test]
    fn a_zombie_has_ended() {
        let sleeper = Sleeper::new("1000");
        let (identity, handle) = (sleeper.identity(), sleeper.handle());
        handle.kill().unwrap();
        assert!(handle.wait(LONG).unwrap());
        // Nobody has reaped it yet, so its pid still exists.
        assert!(process_table::stat(identity.pid).unwrap().unwrap().is_dead());
        assert!(!handle.is_alive());
        assert_eq!(ProcessIdentity::of(identity.pid).unwrap(), None);
        assert!(ProcessHandle::open(&identity, "1000").unwrap().is_none());
    }

    #[test]
    fn signals_to_an_ended_process_succeed() {
        let mut sleeper = Sleeper::new("1000");
        let handle = sleeper.handle();
        handle.terminate().unwrap();
        assert!(handle.wait(LONG).unwrap());
        sleeper.0.wait().unwrap();
        handle.terminate().unwrap();
        handle.kill().unwrap();
        assert!(handle.wait(Duration::ZERO).unwrap());
        assert!(!handle.is_alive());
    }

    #[test]
    fn a_stopped_process_is_alive_and_can_be_killed() {
        let sleeper = Sleeper::new("1000");
        let pid = Pid::from_child(&sleeper.0);
        let handle = sleeper.handle();
        kill_process(pid, Signal::STOP).unwrap();
        let wait = crate::wait::Wait { what: "the stop", deadline: LONG, interval: Duration::from_millis(5) };
        wait.until(|_| {
            let stat = process_table::stat(handle.pid())?;
            Ok(match stat {
                Some(stat) if stat.state == 'T' => crate::wait::Look::Ready(()),
                other => crate::wait::Look::NotYet(format!("{other:?}")),
            })
        })
        .unwrap();
        assert!(handle.is_alive());
        assert!(ProcessHandle::open(&sleeper.identity(), "1000").unwrap().is_some());
        handle.kill().unwrap();
        assert!(handle.wait(LONG).unwrap());
    }

    #[test]
    fn an_identity_is_read_as_it_was_written() {
        let identity = Sleeper::new("1000").identity();
        let text = serde_json::to_string(&identity).unwrap();
        assert_eq!(serde_json::from_str::<ProcessIdentity>(&text).unwrap(), identity);
    }
}
