//! A running program: its input, output and end, in one poll loop without threads.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use model::Result;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::description::Command;
use super::{ending, errors};
use crate::interrupt;

/// One of the two output streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    Stdout,
    Stderr,
}

/// Receives output of the program; its error ends the program.
pub(super) type Take<'a> = dyn FnMut(Stream, &[u8]) -> Result<()> + 'a;

/// The most that a pipe holds (`/proc/sys/fs/pipe-max-size`). Reading as much after the program's end gets all of its
/// output, even if a child that it left behind still writes.
const PIPE_MOST: usize = 1024 * 1024;

const BLOCK: usize = 64 * 1024;

/// How long a program file may be open for writing elsewhere.
const BUSY_LIMIT: Duration = Duration::from_secs(1);

/// A program that was started. Its process group is killed if this is dropped before the program is reaped.
pub(super) struct Running<'a> {
    command: &'a Command,
    child: Child,
    pidfd: OwnedFd,
    stdin: Option<ChildStdin>,
    written: usize,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    reaped: bool,
}

impl<'a> Running<'a> {
    /// Starts the program in its own process group, with non-blocking pipes.
    pub(super) fn start(command: &'a Command) -> Result<Self> {
        interrupt::check().map_err(|error| error.context(format!("did not run `{}`", command.name())))?;
        let mut prepared = prepare(command)?;
        if let Some(path) = &command.input_file {
            let file = std::fs::File::open(path).map_err(|error| crate::io_error::at_path("read", path, &error))?;
            prepared.stdin(file);
        }
        let mut child = spawn(&mut prepared).map_err(|error| errors::start(command, &error))?;
        let opened = open_pipes(&mut child);
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        match opened {
            Ok(pidfd) => Ok(Running { command, child, pidfd, stdin, written: 0, stdout, stderr, reaped: false }),
            Err(error) => {
                ending::kill_at_once(&mut child);
                Err(errors::lost_contact(command, &error))
            }
        }
    }

    /// Passes input and output until the program ends. Returns its exit code, 128 + N for a death by signal N.
    pub(super) fn finish(mut self, take: &mut Take<'_>) -> Result<i32> {
        let begin = Instant::now();
        loop {
            let left = self.command.deadline.saturating_sub(begin.elapsed());
            let error = match self.pump(left, true, take) {
                Ok(true) => return self.reap(),
                Ok(false) if interrupt::requested() => errors::interrupted(self.command),
                Ok(false) if begin.elapsed() >= self.command.deadline => errors::deadline(self.command),
                Ok(false) => continue,
                Err(error) => error,
            };
            return Err(match self.end(take) {
                None => error,
                Some(remains) => error.because(remains),
            });
        }
    }

    /// Ends the process group, whose number is the program's pid until it is reaped, and takes its output meanwhile.
    /// Returns what the user should know if it could not be ended.
    fn end(&mut self, take: &mut Take<'_>) -> Option<String> {
        ending::end_group(Pid::from_child(&self.child), &mut |limit| {
            let mut take_regardless = |stream: Stream, bytes: &[u8]| {
                // The error that ends the program is known already; a second one from the output would hide it.
                let _ = take(stream, bytes);
                Ok(())
            };
            self.pump(limit, false, &mut take_regardless).unwrap_or(true)
        })
    }

    /// Waits up to `limit` for output or the end and passes on the output. Returns whether the program has ended; it is
    /// not reaped then.
    fn pump(&mut self, limit: Duration, wake: bool, take: &mut Take<'_>) -> Result<bool> {
        let exited = self.poll(limit, wake).map_err(|error| errors::lost_contact(self.command, &error))?;
        let most = if exited { PIPE_MOST } else { BLOCK };
        read_available(&mut self.stdout, most, &mut |bytes| take(Stream::Stdout, bytes))?;
        read_available(&mut self.stderr, most, &mut |bytes| take(Stream::Stderr, bytes))?;
        self.write_available();
        Ok(exited)
    }

    fn poll(&self, limit: Duration, wake: bool) -> io::Result<bool> {
        let wake = wake.then(interrupt::wake_fd).flatten();
        let mut fds = vec![PollFd::new(&self.pidfd, PollFlags::IN)];
        fds.extend(self.stdout.iter().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        fds.extend(self.stderr.iter().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        fds.extend(self.stdin.iter().map(|pipe| PollFd::new(pipe, PollFlags::OUT)));
        fds.extend(wake.iter().map(|fd| PollFd::new(fd, PollFlags::IN)));
        match poll(&mut fds, Some(&interrupt::timespec(limit))) {
            Ok(_) => Ok(!fds[0].revents().is_empty()),
            Err(Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes as much input as the pipe takes. A program may close its input early.
    fn write_available(&mut self) {
        let Some(pipe) = &self.stdin else { return };
        let input = self.command.input.as_deref().unwrap_or_default();
        while self.written < input.len() {
            match rustix::io::write(pipe, &input[self.written..]) {
                Ok(count) => self.written += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => break,
            }
        }
        self.stdin = None;
    }

    fn reap(mut self) -> Result<i32> {
        let status = self.child.wait().map_err(|error| errors::lost_contact(self.command, &error))?;
        self.reaped = true;
        Ok(exit_code(status))
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if !self.reaped {
            ending::kill_at_once(&mut self.child);
        }
    }
}

fn prepare(command: &Command) -> Result<std::process::Command> {
    let program = if command.program.as_encoded_bytes().contains(&b'/') {
        command.program.clone()
    } else {
        let path = command.environment.iter().rev().find(|(name, _)| name == "PATH").map(|(_, value)| value.clone());
        let path = path.or_else(|| std::env::var_os("PATH")).unwrap_or_default();
        // execvp(3) would report EACCES if this user may not read a directory of PATH.
        crate::tools::find_in(&command.program, &path)
            .ok_or_else(|| errors::start(command, &io::ErrorKind::NotFound.into()))?
            .into_os_string()
    };
    let mut words = if command.is_alone { crate::background::words_before() } else { Vec::new() };
    words.push(program);
    let mut words = words.into_iter();
    let mut prepared = std::process::Command::new(words.next().unwrap_or_default());
    prepared
        .args(words)
        .args(&command.arguments)
        .envs(command.environment.iter().map(|(name, value)| (name, value)))
        .stdin(if command.input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    if let Some(directory) = &command.directory {
        prepared.current_dir(directory);
    }
    Ok(prepared)
}

/// Starts the program. If it was written just now, its file may be busy: a process that another thread has forked
/// meanwhile holds a copy of the open file until execve(2).
fn spawn(prepared: &mut std::process::Command) -> io::Result<Child> {
    let begin = Instant::now();
    loop {
        match prepared.spawn() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy && begin.elapsed() < BUSY_LIMIT => {
                interrupt::pause(Duration::from_millis(5));
            }
            result => return result,
        }
    }
}

fn open_pipes(child: &mut Child) -> io::Result<OwnedFd> {
    if let Some(pipe) = &child.stdin {
        set_nonblocking(pipe)?;
    }
    if let Some(pipe) = &child.stdout {
        set_nonblocking(pipe)?;
    }
    if let Some(pipe) = &child.stderr {
        set_nonblocking(pipe)?;
    }
    Ok(pidfd_open(Pid::from_child(child), PidfdFlags::empty())?)
}

fn set_nonblocking(pipe: impl AsFd) -> io::Result<()> {
    Ok(fcntl_setfl(&pipe, fcntl_getfl(&pipe)? | OFlags::NONBLOCK)?)
}

/// Reads until the pipe is empty or closed, or until `most` bytes were read. Drops a closed pipe, and one that cannot
/// be read.
fn read_available<P: AsFd>(pipe: &mut Option<P>, most: usize, take: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut block = [0; BLOCK];
    let mut total = 0;
    while let Some(open) = pipe.as_ref().filter(|_| total < most) {
        match rustix::io::read(open, &mut block) {
            Ok(0) => *pipe = None,
            Ok(count) => {
                total += count;
                take(&block[..count])?;
            }
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => break,
            Err(_) => *pipe = None,
        }
    }
    Ok(())
}

fn exit_code(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1)
}
