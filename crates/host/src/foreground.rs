//! A program that has the terminal while we wait for it, and gets to know when we are to stop.

use std::io::{self, IsTerminal};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command};
use std::time::Duration;

use model::{Error, ErrorClass, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::interrupt;

/// How long a program may take that has got the terminal's interrupt itself.
const GRACE: Duration = Duration::from_secs(10);

/// Runs `command` to its end; its exit code, or 128 + N for a death by signal N, as shells report it. An interrupt is
/// passed on as SIGTERM, unless the terminal has sent it to both of us.
///
/// # Errors
/// Host when it cannot be started.
pub fn run(command: &mut Command) -> Result<u8> {
    let program = command.get_program().to_string_lossy().into_owned();
    let cannot = |error: io::Error| {
        Error::new(ErrorClass::Host, format!("cannot run {program}")).because(crate::io_error::text(&error))
    };
    let mut child = command.spawn().map_err(cannot)?;
    end_of(&mut child).map_err(cannot)
}

fn end_of(child: &mut Child) -> io::Result<u8> {
    let pidfd = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    let mut told = false;
    loop {
        if let Some(status) = child.try_wait()? {
            let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
            return Ok(u8::try_from(code).unwrap_or(u8::MAX));
        }
        if told || !interrupt::requested() {
            let mut fds = vec![PollFd::new(&pidfd, PollFlags::IN)];
            let wake = interrupt::wake_fd();
            if let (false, Some(wake)) = (told, &wake) {
                fds.push(PollFd::new(wake, PollFlags::IN));
            }
            // An error can only be EINTR here, and that is what the loop is for.
            let _ = poll(&mut fds, None);
            continue;
        }
        if io::stdin().is_terminal() {
            let _ = poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&interrupt::timespec(GRACE)));
        }
        if child.try_wait()?.is_none() {
            let _ = pidfd_send_signal(&pidfd, Signal::TERM);
        }
        told = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_is_passed_on_and_a_signal_is_told_as_shells_do() {
        for (script, expected) in [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 143), ("kill -KILL $$", 137)] {
            assert_eq!(run(Command::new("/bin/sh").args(["-c", script])).expect("it runs"), expected, "{script}");
        }
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = run(&mut Command::new("/no/such/program")).expect_err("it is not there");
        assert_eq!(error.class(), ErrorClass::Host);
        assert!(error.to_string().starts_with("cannot run /no/such/program"), "{error}");
    }
}
