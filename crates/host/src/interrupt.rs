//! Interrupts: SIGINT, SIGTERM and SIGHUP set a flag at which waits and commands end. A second signal ends the process
//! at once, except while interrupts are deferred to finish what must not be left half done.
//!
//! What an interrupted verb undoes is the caller's decision.

use std::fs::File;
use std::io::Read;
use std::os::fd::BorrowedFd;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use model::{Error, ErrorClass, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::SigId;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::deadline::moment_after;

const SIGNALS: [i32; 3] = [SIGINT, SIGTERM, SIGHUP];

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Whether the next signal ends the process.
static ARMED: AtomicBool = AtomicBool::new(false);

/// How many [`Deferred`] there are.
static DEFERRED: AtomicUsize = AtomicUsize::new(0);

/// The handlers by which a second signal ends the process; empty before [`install`] and while interrupts are deferred.
static SECOND: Mutex<Vec<SigId>> = Mutex::new(Vec::new());

/// Becomes readable with the first signal and stays so, because nobody reads it: every poll wakes up.
static WAKE: OnceLock<OwnedFd> = OnceLock::new();

/// Installs the signal handlers. To be called at the start of the program.
///
/// # Errors
/// A Failed error if the system refuses a handler or a socket pair.
pub fn install() -> Result<()> {
    let refused = |error: std::io::Error| {
        Error::new(ErrorClass::Failed, "cannot install the signal handlers").because(crate::io_error::text(&error))
    };
    let (wake, ring) = std::os::unix::net::UnixStream::pair().map_err(refused)?;
    if WAKE.set(wake.into()).is_err() {
        return Ok(());
    }
    for signal in SIGNALS {
        signal_hook::flag::register(signal, &REQUESTED).map_err(refused)?;
        signal_hook::low_level::pipe::register(signal, ring.try_clone().map_err(refused)?).map_err(refused)?;
    }
    arm(&mut second()).map_err(refused)
}

fn second() -> MutexGuard<'static, Vec<SigId>> {
    SECOND.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets the second signal end the process.
fn arm(second: &mut Vec<SigId>) -> std::io::Result<()> {
    ARMED.store(REQUESTED.load(Ordering::SeqCst), Ordering::SeqCst);
    for signal in SIGNALS {
        // The order matters: at the first signal the flag is not set yet when the shutdown handler checks it.
        let code = i32::from(ErrorClass::Interrupted.exit_code());
        second.push(signal_hook::flag::register_conditional_shutdown(signal, code, &ARMED)?);
        second.push(signal_hook::flag::register(signal, &ARMED)?);
    }
    Ok(())
}

/// Defers interrupts until it is dropped.
#[derive(Debug)]
#[must_use = "interrupts are deferred only until it is dropped"]
pub struct Deferred(());

/// Defers interrupts until the returned value is dropped: waits and commands do not end, and a second signal does not
/// end the process. For work that must not be left half done, such as the time in which a guest is paused; such work
/// needs deadlines of its own. Long work can check [`pending`] and stop in good order.
pub fn defer() -> Deferred {
    let mut second = second();
    DEFERRED.fetch_add(1, Ordering::SeqCst);
    for id in second.drain(..) {
        signal_hook::low_level::unregister(id);
    }
    Deferred(())
}

impl Drop for Deferred {
    fn drop(&mut self) {
        let mut second = second();
        if DEFERRED.fetch_sub(1, Ordering::SeqCst) == 1 && WAKE.get().is_some() {
            // It worked before. If it fails, the first signal still ends every wait.
            let _ = arm(&mut second);
        }
    }
}

/// Whether the user has interrupted. False while interrupts are deferred.
pub fn requested() -> bool {
    DEFERRED.load(Ordering::SeqCst) == 0 && pending()
}

/// Whether the user has interrupted, even if interrupts are deferred.
pub fn pending() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}

/// Fails if the user has interrupted.
///
/// # Errors
/// The error [`interrupted`].
pub fn check() -> Result<()> {
    if requested() { Err(interrupted()) } else { Ok(()) }
}

/// The error of class Interrupted, which does not say what was interrupted.
pub fn interrupted() -> Error {
    Error::new(ErrorClass::Interrupted, "interrupted")
}

/// A descriptor to poll beside others, so that an interrupt ends the poll. `None` before [`install`] and while
/// interrupts are deferred.
pub(crate) fn wake_fd() -> Option<BorrowedFd<'static>> {
    if DEFERRED.load(Ordering::SeqCst) == 0 { WAKE.get().map(AsFd::as_fd) } else { None }
}

/// Sleeps for `duration`, or until an interrupt.
pub(crate) fn pause(duration: Duration) {
    let end = moment_after(duration);
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() || requested() {
            return;
        }
        let wake = wake_fd();
        let mut fds: Vec<PollFd<'_>> = wake.iter().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
        // The only possible error is EINTR, after which the loop polls again.
        let _ = poll(&mut fds, Some(&timespec(left)));
    }
}

/// Reads and drops `input` until it ends or the user interrupts.
///
/// # Errors
/// A Failed error if it cannot be read.
pub fn until_end_of_input(mut input: impl Read + AsFd) -> Result<()> {
    let mut piece = [0; 4096];
    loop {
        let wake = wake_fd();
        let mut fds = vec![PollFd::from_borrowed_fd(input.as_fd(), PollFlags::IN)];
        fds.extend(wake.iter().map(|fd| PollFd::new(fd, PollFlags::IN)));
        let _ = poll(&mut fds, None);
        if requested() {
            return Ok(());
        }
        match input.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => {
                return Err(Error::new(ErrorClass::Failed, "the standard input cannot be read").because(error));
            }
        }
    }
}

/// An input in which an interrupt ends a read, which would otherwise wait for input.
#[derive(Debug)]
pub struct Interruptible(File);

impl Interruptible {
    /// The standard input, from which nothing may have been read before.
    ///
    /// # Errors
    /// A Failed error if it is closed.
    pub fn stdin() -> Result<Self> {
        let stdin = std::io::stdin().as_fd().try_clone_to_owned().map_err(|error| {
            Error::new(ErrorClass::Failed, "the standard input cannot be read").because(crate::io_error::text(&error))
        })?;
        Ok(Interruptible(stdin.into()))
    }
}

impl Read for Interruptible {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        // The kind must not be Interrupted, because readers try again then.
        wait_readable(self.0.as_fd()).map_err(|error| std::io::Error::other(error.to_string()))?;
        self.0.read(buffer)
    }
}

/// Waits without a deadline until the descriptor is readable or its other end is closed.
///
/// # Errors
/// Of class Interrupted if the user interrupts.
pub fn wait_readable(descriptor: BorrowedFd<'_>) -> Result<()> {
    loop {
        check()?;
        let wake = wake_fd();
        let mut fds = vec![PollFd::from_borrowed_fd(descriptor, PollFlags::IN)];
        fds.extend(wake.iter().map(|fd| PollFd::new(fd, PollFlags::IN)));
        // The only possible error is EINTR, after which the flag is checked.
        if poll(&mut fds, None).is_ok() && !fds[0].revents().is_empty() {
            return Ok(());
        }
    }
}

/// A timeout for poll(2). One that is too long for the system's type becomes a day.
pub(crate) fn timespec(duration: Duration) -> Timespec {
    Timespec::try_from(duration).unwrap_or(Timespec { tv_sec: 86_400, tv_nsec: 0 })
}

/// Sleeps for `duration` in spite of an interrupt, for cleaning up after one.
pub(crate) fn pause_regardless(duration: Duration) {
    let _ = poll(&mut [], Some(&timespec(duration)));
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Lines, Write};
    use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

    use rustix::process::{Pid, Signal, kill_process};

    use super::*;
    use crate::wait::{Look, Wait};

    /// The variable that makes this test program, when started again, the program to interrupt.
    const ROLE: &str = "K3S_VM_INTERRUPT_TEST_ROLE";

    const LONG: Duration = Duration::from_secs(600);

    /// Not a test by itself: signals concern a whole process, so each test starts a process that runs only this.
    #[test]
    fn role() {
        let Ok(role) = std::env::var(ROLE) else { return };
        install().unwrap();
        install().unwrap();
        check().unwrap();
        let mut output = std::io::stdout();
        let mut say = |text: &str| {
            writeln!(output, "\nsays: {text}").unwrap();
            output.flush().unwrap();
        };
        let error = match role.as_str() {
            "wait" => {
                say("ready");
                let wait = Wait { what: "the moon", deadline: LONG, interval: LONG };
                wait.until(|_| Ok(Look::<()>::NotYet(String::new()))).unwrap_err()
            }
            "command" => {
                // Some shells also report the end of their child on stderr.
                let script = "exec 2>/dev/null; trap 'echo says: child ended; exit 0' TERM; echo says: ready; \
                              while :; do sleep 0.1; done";
                let command = crate::command::Command::new("sh").args(["-c", script]).deadline(LONG);
                command
                    .run_streaming(&model::event::Silent, &mut |line| say(line.trim_start_matches("says: ")))
                    .unwrap_err()
            }
            "process" => {
                let mut child = Command::new("sleep").arg("1000").stdout(Stdio::null()).spawn().unwrap();
                let identity = crate::identity::ProcessIdentity::of(child.id()).unwrap().unwrap();
                let handle = crate::identity::ProcessHandle::open(&identity, "1000").unwrap().unwrap();
                say("ready");
                let error = handle.wait(LONG).unwrap_err();
                child.kill().unwrap();
                child.wait().unwrap();
                error
            }
            "deferred" => {
                let deferred = defer();
                say("ready");
                while !pending() {
                    pause(Duration::from_millis(5));
                }
                let nested = defer();
                let wait = Wait { what: "the guest to resume", deadline: LONG, interval: Duration::from_millis(1) };
                let mut looks = 0;
                wait.until(|_| {
                    looks += 1;
                    Ok(if looks == 3 { Look::Ready(()) } else { Look::NotYet(String::new()) })
                })
                .unwrap();
                crate::command::Command::new("true").run().unwrap();
                drop(nested);
                say("interrupt is deferred");
                let mut line = String::new();
                std::io::stdin().read_line(&mut line).unwrap();
                check().unwrap();
                drop(deferred);
                check().unwrap_err()
            }
            "deaf" => {
                say("ready");
                while !requested() {
                    pause_regardless(Duration::from_millis(5));
                }
                say("interrupted");
                loop {
                    pause_regardless(LONG);
                }
            }
            other => panic!("no role {other}"),
        };
        assert!(requested());
        say(&format!("{} {error}", error.class().name()));
    }

    struct Program {
        child: Child,
        input: ChildStdin,
        lines: Lines<BufReader<ChildStdout>>,
    }

    impl Program {
        fn play(role: &str) -> Self {
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "interrupt::tests::role", "--nocapture", "--test-threads=1"])
                .env(ROLE, role)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
            let mut program = Program { child, input, lines: BufReader::new(output).lines() };
            assert_eq!(program.hear(), "ready");
            program
        }
        /// Its next line with "says:"; the test harness prints other lines.
        fn hear(&mut self) -> String {
            let said = self.lines.find_map(|line| line.unwrap().strip_prefix("says: ").map(str::to_owned));
            said.expect("the program ended without a word")
        }
        fn signal(&self, signal: Signal) {
            kill_process(Pid::from_child(&self.child), signal).unwrap();
        }
    }

    impl Drop for Program {
        fn drop(&mut self) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }

    #[test]
    fn every_signal_ends_a_wait_at_once() {
        for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
            let mut program = Program::play("wait");
            program.signal(signal);
            assert_eq!(program.hear(), "interrupted stopped waiting for the moon: interrupted");
        }
    }

    #[test]
    fn ends_a_command_which_may_clean_up() {
        let mut program = Program::play("command");
        program.signal(Signal::INT);
        assert_eq!(program.hear(), "child ended");
        let said = program.hear();
        assert!(said.starts_with("interrupted interrupted while `sh` ran"), "{said}");
    }

    #[test]
    fn ends_the_wait_for_a_process() {
        let mut program = Program::play("process");
        program.signal(Signal::INT);
        let said = program.hear();
        assert!(said.starts_with("interrupted stopped waiting for process "), "{said}");
    }

    #[test]
    fn a_second_signal_ends_the_program() {
        let mut program = Program::play("deaf");
        program.signal(Signal::INT);
        assert_eq!(program.hear(), "interrupted");
        program.signal(Signal::TERM);
        assert_eq!(program.child.wait().unwrap().code(), Some(130));
    }

    #[test]
    fn an_interrupt_left_what_must_be_finished_half_done() {
        let mut program = Program::play("deferred");
        program.signal(Signal::INT);
        assert_eq!(program.hear(), "interrupt is deferred");
        // Further signals do not end it either.
        for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
            program.signal(signal);
        }
        program.input.write_all(b"\n").unwrap();
        assert_eq!(program.hear(), "interrupted interrupted");
    }
}
