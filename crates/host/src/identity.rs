//! Proof that a process is the one that was recorded, and signals that can only reach that one.
//!
//! It never signals by number: between a look at a pid and a kill(2) the pid may pass to a stranger.

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

/// Far longer than a program's start takes; only kernel threads and the dying have no command line for so long.
const EXEC_LIMIT: Duration = Duration::from_secs(2);

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// What tells a process from every other one, past and future.
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
    /// Whether it is of the present boot of the host; one of a former boot is dead.
    ///
    /// # Errors
    /// An error when `/proc` cannot be read.
    pub fn is_of_this_boot(&self) -> Result<bool> {
        Ok(self.boot_id == boot_id()?)
    }

    /// The identity of a live process, or nothing when there is none of that pid (a zombie counts as none).
    ///
    /// # Errors
    /// An error when `/proc` cannot be read.
    pub fn of(pid: u32) -> Result<Option<Self>> {
        let Some(stat) = process_table::stat(pid)?.filter(|stat| !stat.is_dead()) else { return Ok(None) };
        Ok(Some(ProcessIdentity { pid, start_ticks: stat.start_ticks, boot_id: boot_id()? }))
    }
}

/// What names the present boot of the host (`/proc/sys/kernel/random/boot_id`, random(4)).
///
/// # Errors
/// An error when `/proc` cannot be read.
pub fn boot_id() -> Result<String> {
    let path = std::path::Path::new(BOOT_ID);
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(error) => Err(io_error::at_path("read", path, &error)),
    }
}

/// The command line. That of a process that was started this moment is empty until execve(2) has set it up, although
/// whoever started it goes on already.
fn arguments(pid: u32) -> Result<Vec<OsString>> {
    let begin = Instant::now();
    loop {
        match process_table::arguments(pid)? {
            // Not a wait that an interrupt ends: who cleans up after one must find the process too.
            Some(words) if words.is_empty() && begin.elapsed() < EXEC_LIMIT => {
                interrupt::pause_regardless(Duration::from_millis(2));
            }
            words => return Ok(words.unwrap_or_default()),
        }
    }
}

/// A live, proven process, held by a pidfd (pidfd_open(2)): a signal cannot reach a later process of the same pid.
#[derive(Debug)]
pub struct ProcessHandle {
    pid: u32,
    pidfd: OwnedFd,
}

impl ProcessHandle {
    /// Opens the pidfd first and then checks the identity and that `argument` is one of the words of its command
    /// line, as a whole word; nothing if it is dead or another process.
    ///
    /// # Errors
    /// An error when `/proc` cannot be read or the kernel has no pidfds (before Linux 5.3).
    pub fn open(identity: &ProcessIdentity, argument: &str) -> Result<Option<Self>> {
        Self::proven(identity.pid, || {
            Ok(ProcessIdentity::of(identity.pid)?.as_ref() == Some(identity)
                && arguments(identity.pid)?.iter().any(|word| word == argument))
        })
    }

    /// Opens the pidfd first and then asks `is_the_one`, which sees the process and its working directory as they are now;
    /// nothing if it is dead or another process.
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
            // EINVAL and ENOENT: the number is that of a thread, not of a process.
            Err(Errno::SRCH | Errno::INVAL | Errno::NOENT) => return Ok(None),
            Err(error) => return Err(cannot("watch", pid, error)),
        };
        let handle = ProcessHandle { pid, pidfd };
        // Alive after the look at /proc: so the pid was not given to another process before it.
        Ok((is_the_one()? && handle.is_alive()).then_some(handle))
    }

    /// The process id, for messages.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it still runs (a zombie does not; one that is stopped or waits inside the kernel does).
    pub fn is_alive(&self) -> bool {
        !matches!(self.poll(Duration::ZERO), Ok(true))
    }

    /// Sends SIGTERM. Success also when it is gone already.
    ///
    /// # Errors
    /// A Host error where this user may not signal it.
    pub fn terminate(&self) -> Result<()> {
        self.signal(Signal::TERM)
    }

    /// Sends SIGKILL. Success also when it is gone already.
    ///
    /// # Errors
    /// A Host error where this user may not signal it.
    pub fn kill(&self) -> Result<()> {
        self.signal(Signal::KILL)
    }

    /// Waits for its end (poll(2) on the pidfd, no busy wait); whether it ended within `deadline`.
    ///
    /// # Errors
    /// Of class Interrupted when the user asked to stop.
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

    /// Whether it has ended; waits up to `limit` or until the user interrupts. A pidfd becomes readable with the end.
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
            .next(format!("`ps -o user= -p {pid}` shows whose it is; run the command as that user")),
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

    /// A child that is killed and reaped whatever the test does.
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
    fn knows_the_process_again() {
        let sleeper = Sleeper::new("1000");
        assert_eq!(sleeper.identity(), sleeper.identity());
        let handle = sleeper.handle();
        assert_eq!(handle.pid(), sleeper.0.id());
        assert!(handle.is_alive());
        assert!(!handle.wait(Duration::ZERO).unwrap());
    }

    #[test]
    fn refuses_everything_that_is_not_exactly_it() {
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
    fn proves_by_what_it_sees() {
        let sleeper = Sleeper::new("1000");
        let pid = sleeper.0.id();
        let here = std::env::current_dir().unwrap();
        let proven = ProcessHandle::prove(pid, |process, directory| process.pid == pid && directory.is(&here)).unwrap();
        assert_eq!(proven.unwrap().pid(), pid);
        assert!(ProcessHandle::prove(pid, |_, _| false).unwrap().is_none());
        for pid in [0, u32::MAX] {
            assert!(ProcessHandle::prove(pid, |_, _| panic!("nobody to look at")).unwrap().is_none());
        }
    }

    #[test]
    fn a_zombie_is_dead() {
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
    fn signals_to_the_gone_succeed() {
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
    fn survives_being_written_down() {
        let identity = Sleeper::new("1000").identity();
        let text = serde_json::to_string(&identity).unwrap();
        assert_eq!(serde_json::from_str::<ProcessIdentity>(&text).unwrap(), identity);
    }
}
