//! Runs a program in the foreground: it has the terminal, and interrupts are passed on to it.

use std::io::{self, IsTerminal};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command};
use std::time::Duration;

use model::{Error, ErrorClass, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::interrupt;

/// How long a program may take after the terminal has interrupted it.
const GRACE: Duration = Duration::from_secs(10);

/// Runs `command` to its end. Returns its exit code, or 128 + N for a death by signal N, as shells do. An interrupt is
/// passed on as SIGTERM; if the program has the terminal, which interrupts it itself, only after ten seconds.
///
/// # Errors
/// Of class Host if it cannot be started.
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
    let mut has_signal = false;
    loop {
        if let Some(status) = child.try_wait()? {
            let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
            return Ok(u8::try_from(code).unwrap_or(u8::MAX));
        }
        if has_signal || !interrupt::requested() {
            let mut fds = vec![PollFd::new(&pidfd, PollFlags::IN)];
            let wake = interrupt::wake_fd();
            if let (false, Some(wake)) = (has_signal, &wake) {
                fds.push(PollFd::new(wake, PollFlags::IN));
            }
            // The only possible error is EINTR, after which the loop checks again.
            let _ = poll(&mut fds, None);
            continue;
        }
        if io::stdin().is_terminal() {
            let _ = poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&interrupt::timespec(GRACE)));
        }
        if child.try_wait()?.is_none() {
            let _ = pidfd_send_signal(&pidfd, Signal::TERM);
        }
        has_signal = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_those_of_shells() {
        for (script, expected) in [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 143), ("kill -KILL $$", 137)] {
            assert_eq!(run(Command::new("/bin/sh").args(["-c", script])).expect("it runs"), expected, "{script}");
        }
    }

    #[test]
    fn the_error_of_a_missing_program_names_it() {
        let error = run(&mut Command::new("/no/such/program")).expect_err("it is not there");
        assert_eq!(error.class(), ErrorClass::Host);
        assert!(error.to_string().starts_with("cannot run /no/such/program"), "{error}");
    }
}
