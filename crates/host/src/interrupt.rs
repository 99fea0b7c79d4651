//! SIGINT, SIGTERM and SIGHUP: a flag that waits and commands look at. A second signal ends the process at once.
//!
//! It never decides what an interrupted verb undoes; those who wait learn of it and return.

use std::os::fd::BorrowedFd;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use model::{Fault, FaultClass, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Becomes readable with the first signal and stays so, since nobody reads it: everything that polls wakes up.
static WAKE: OnceLock<OwnedFd> = OnceLock::new();

/// Installs the handlers; call once, at the start of the program.
///
/// # Errors
/// A Failed fault when the system refuses a handler or a socket pair.
pub fn install() -> Result<()> {
    let refused = |error: std::io::Error| {
        Fault::new(FaultClass::Failed, "cannot install the signal handlers").because(crate::io_fault::text(&error))
    };
    let (wake, ring) = std::os::unix::net::UnixStream::pair().map_err(refused)?;
    if WAKE.set(wake.into()).is_err() {
        return Ok(());
    }
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        // The order matters: with the first signal the flag is still down when the shutdown looks at it.
        signal_hook::flag::register_conditional_shutdown(
            signal,
            i32::from(FaultClass::Interrupted.exit_code()),
            &REQUESTED,
        )
        .map_err(refused)?;
        signal_hook::flag::register(signal, &REQUESTED).map_err(refused)?;
        signal_hook::low_level::pipe::register(signal, ring.try_clone().map_err(refused)?).map_err(refused)?;
    }
    Ok(())
}

/// Whether the user asked to stop.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}

/// A fault of class Interrupted if the user asked to stop.
///
/// # Errors
/// That fault.
pub fn check() -> Result<()> {
    if requested() { Err(Fault::new(FaultClass::Interrupted, "interrupted")) } else { Ok(()) }
}

/// What to poll beside one's own descriptors so that an interrupt ends the poll; nothing before [`install`].
pub(crate) fn wake_fd() -> Option<BorrowedFd<'static>> {
    WAKE.get().map(AsFd::as_fd)
}

/// Passes the time; ends early with an interrupt.
pub(crate) fn pause(duration: Duration) {
    let end = Instant::now() + duration;
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

/// A poll timeout; one too long for the system's type becomes a day.
pub(crate) fn timespec(duration: Duration) -> Timespec {
    Timespec::try_from(duration).unwrap_or(Timespec { tv_sec: 86_400, tv_nsec: 0 })
}

/// Passes the time, whatever the user asked for: for those who clean up after an interrupt.
pub(crate) fn pause_regardless(duration: Duration) {
    let _ = poll(&mut [], Some(&timespec(duration)));
}
