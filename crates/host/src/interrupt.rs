//! SIGINT, SIGTERM and SIGHUP: a flag that waits and commands look at. A second signal ends the process at once, but not
//! while an interrupt is deferred: what must not be left half done is finished first.
//!
//! It never decides what an interrupted verb undoes; those who wait learn of it and return.

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

/// How many parts of the program must not be interrupted now.
static DEFERRED: AtomicUsize = AtomicUsize::new(0);

/// What makes the second signal end the process; nothing before [`install`], and while interrupts are deferred.
static SECOND: Mutex<Vec<SigId>> = Mutex::new(Vec::new());

/// Becomes readable with the first signal and stays so, since nobody reads it: everything that polls wakes up.
static WAKE: OnceLock<OwnedFd> = OnceLock::new();

/// Installs the handlers; call once, at the start of the program.
///
/// # Errors
/// A Failed error when the system refuses a handler or a socket pair.
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
        // The order matters: with the first signal the flag is still down when the shutdown looks at it.
        let code = i32::from(ErrorClass::Interrupted.exit_code());
        second.push(signal_hook::flag::register_conditional_shutdown(signal, code, &ARMED)?);
        second.push(signal_hook::flag::register(signal, &ARMED)?);
    }
    Ok(())
}

/// Interrupts are deferred as long as one of these is there.
#[derive(Debug)]
#[must_use = "interrupts are deferred as long as it is there"]
pub struct Deferred(());

/// Defers interrupts: until the returned value is dropped nobody learns of one, and a second one does not end the process
/// either. For what must not be left half done, such as a guest that stands still; it must have deadlines of its own.
/// What takes long may look at [`pending`] and give up in good order.
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
            // It was possible before; without it the first signal still ends every wait.
            let _ = arm(&mut second);
        }
    }
}

/// Whether the user asked to stop.
pub fn requested() -> bool {
    DEFERRED.load(Ordering::SeqCst) == 0 && pending()
}

/// The same, also while interrupts are deferred.
pub fn pending() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}

/// An error of class Interrupted if the user asked to stop.
///
/// # Errors
/// That error.
pub fn check() -> Result<()> {
    if requested() { Err(interrupted()) } else { Ok(()) }
}

/// The error of an interrupt.
pub fn interrupted() -> Error {
    Error::new(ErrorClass::Interrupted, "interrupted")
}

/// What to poll beside one's own descriptors so that an interrupt ends the poll; nothing before [`install`], and while
/// interrupts are deferred.
pub(crate) fn wake_fd() -> Option<BorrowedFd<'static>> {
    if DEFERRED.load(Ordering::SeqCst) == 0 { WAKE.get().map(AsFd::as_fd) } else { None }
}

/// Passes the time; ends early with an interrupt.
pub(crate) fn pause(duration: Duration) {
    let end = moment_after(duration);
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() || requested() {
            return;
        }
        let wake = wake_fd();
        let mut fds: Vec<PollFd<'_>> = wake.iter().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
        // An error can only be EINTR here, and that is what the loop is for.
        let _ = poll(&mut fds, Some(&timespec(left)));
    }
}

/// Waits until `input` ends or the user asks to stop; what comes is thrown away.
///
/// # Errors
/// A Failed error when it cannot be read.
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

/// An input whose reads end when the user asks to stop. Otherwise a read(2) goes on after a signal, for as long as nothing
/// comes.
#[derive(Debug)]
pub struct Interruptible(File);

impl Interruptible {
    /// The standard input, of which nobody has read.
    ///
    /// # Errors
    /// A Failed error when it is closed.
    pub fn stdin() -> Result<Self> {
        let stdin = std::io::stdin().as_fd().try_clone_to_owned().map_err(|error| {
            Error::new(ErrorClass::Failed, "the standard input cannot be read").because(crate::io_error::text(&error))
        })?;
        Ok(Interruptible(stdin.into()))
    }
}

impl Read for Interruptible {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        // Not of the kind Interrupted, at which readers read again.
        wait_readable(self.0.as_fd()).map_err(|error| std::io::Error::other(error.to_string()))?;
        self.0.read(buffer)
    }
}

/// Waits without end until the descriptor has something to read, or its other end is gone.
///
/// # Errors
/// Of class Interrupted when the user asked to stop.
pub fn wait_readable(descriptor: BorrowedFd<'_>) -> Result<()> {
    loop {
        check()?;
        let wake = wake_fd();
        let mut fds = vec![PollFd::from_borrowed_fd(descriptor, PollFlags::IN)];
        fds.extend(wake.iter().map(|fd| PollFd::new(fd, PollFlags::IN)));
        // An error can only be EINTR here, and then the flag tells why.
        if poll(&mut fds, None).is_ok() && !fds[0].revents().is_empty() {
            return Ok(());
        }
    }
}

/// A poll timeout; one too long for the system's type becomes a day.
pub(crate) fn timespec(duration: Duration) -> Timespec {
    Timespec::try_from(duration).unwrap_or(Timespec { tv_sec: 86_400, tv_nsec: 0 })
}

/// Passes the time, whatever the user asked for: for those who clean up after an interrupt.
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

    /// The name under which this test program, started again, plays the program that is interrupted.
    const ROLE: &str = "K3S_VM_INTERRUPT_TEST_ROLE";

    const LONG: Duration = Duration::from_secs(600);

    /// Not a test by itself: signals concern a whole process, so each test starts one of its own that runs only this.
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
                // Some shells also report the end of their own child, there.
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
                let wait = Wait { what: "the guest to go on", deadline: LONG, interval: Duration::from_millis(1) };
                let mut looks = 0;
                wait.until(|_| {
                    looks += 1;
                    Ok(if looks == 3 { Look::Ready(()) } else { Look::NotYet(String::new()) })
                })
                .unwrap();
                crate::command::Command::new("true").run().unwrap();
                drop(nested);
                say("flag is up and nobody sees it");
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
                say("flag is up");
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
        /// What it says next; the test harness around it says other things.
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
        assert_eq!(program.hear(), "flag is up");
        program.signal(Signal::TERM);
        assert_eq!(program.child.wait().unwrap().code(), Some(130));
    }

    #[test]
    fn an_interrupt_left_what_must_be_finished_half_done() {
        let mut program = Program::play("deferred");
        program.signal(Signal::INT);
        assert_eq!(program.hear(), "flag is up and nobody sees it");
        // Impatience does not end it either.
        for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
            program.signal(signal);
        }
        program.input.write_all(b"\n").unwrap();
        assert_eq!(program.hear(), "interrupted interrupted");
    }
}
