//! The program that holds a fork: its first line, its stderr and its end, each with a deadline.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

use crate::error::Error;

/// How many of the last lines of its stderr errors have.
const STDERR_LINES: usize = 40;
/// The longest line in bytes.
const LONGEST_LINE: u64 = 64 * 1024;
/// How long it may clean up after SIGTERM before it is killed.
const GRACE: Duration = Duration::from_secs(10);
/// How long to wait for the rest of its stderr after its end; a process that it left behind may keep the pipe open.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A running program. The end of its standard input makes it end.
#[derive(Debug)]
pub(crate) struct Process {
    program: PathBuf,
    child: Child,
    first_line: Receiver<String>,
    stderr: Stderr,
    close_timeout: Duration,
    closed: bool,
}

impl Process {
    /// Starts `command`, which is `program` with its arguments.
    ///
    /// # Errors
    /// [`Error::NotStarted`].
    pub(crate) fn start(
        program: &Path,
        mut command: Command,
        shows_progress: bool,
        close_timeout: Duration,
    ) -> Result<Self, Error> {
        let failed = |source| Error::NotStarted { program: program.to_owned(), source };
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(failed)?;
        let (sender, first_line) = channel();
        if let Some(stdout) = child.stdout.take() {
            std::thread::spawn(move || {
                let mut stdout = BufReader::new(stdout);
                let mut line = Vec::new();
                if stdout.by_ref().take(LONGEST_LINE * 16).read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                    let _ = sender.send(String::from_utf8_lossy(&line).into_owned());
                }
                drop(sender);
                // The rest is discarded, so that a full pipe does not block the program.
                let _ = std::io::copy(&mut stdout, &mut std::io::sink());
            });
        }
        let stderr = Stderr::read(child.stderr.take(), shows_progress);
        Ok(Process { program: program.to_owned(), child, first_line, stderr, close_timeout, closed: false })
    }

    /// Waits for the line that says that the fork is ready.
    ///
    /// # Errors
    /// [`Error::Ended`] or [`Error::Timeout`]; the program has ended then.
    pub(crate) fn first_line(&mut self, deadline: Duration) -> Result<String, Error> {
        match self.first_line.recv_timeout(deadline) {
            Ok(line) => Ok(line),
            Err(RecvTimeoutError::Timeout) => {
                self.terminate();
                Err(Error::Timeout { after: deadline, said: self.stderr.end() })
            }
            Err(RecvTimeoutError::Disconnected) => {
                // It has closed its standard output: it has ended, or is another program.
                let status = self.end_within(GRACE).unwrap_or_else(|| self.terminate());
                self.closed = true;
                Err(Error::Ended { status, said: self.stderr.end() })
            }
        }
    }

    /// Ends the program, which printed an unexpected line.
    pub(crate) fn unintelligible(mut self, line: &str, why: &str) -> Error {
        self.terminate();
        let line = line.trim_end().chars().take(200).collect();
        Error::Unintelligible { program: self.program.clone(), line, why: why.to_owned(), said: self.stderr.end() }
    }

    /// Makes the program end by closing its standard input. A second call does nothing.
    ///
    /// # Errors
    /// [`Error::NotGone`] or [`Error::Ended`].
    pub(crate) fn close(&mut self) -> Result<(), Error> {
        if std::mem::replace(&mut self.closed, true) {
            return Ok(());
        }
        let ended_before = self.end_within(Duration::ZERO).is_some();
        drop(self.child.stdin.take());
        match self.end_within(self.close_timeout) {
            Some(status) if status.success() && !ended_before => Ok(()),
            Some(status) => Err(Error::Ended { status, said: self.stderr.end() }),
            None => {
                self.terminate();
                Err(Error::NotGone { after: self.close_timeout, said: self.stderr.end() })
            }
        }
    }

    /// Ends the program: SIGTERM, and SIGKILL after [`GRACE`].
    fn terminate(&mut self) -> ExitStatus {
        self.closed = true;
        drop(self.child.stdin.take());
        // It is a child that was not waited for, so the pid is not reused.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        if let Some(status) = self.end_within(GRACE.min(self.close_timeout)) {
            return status;
        }
        let _ = self.child.kill();
        self.child.wait().unwrap_or_default()
    }

    /// How the program ended; `None` if it runs after `deadline`.
    fn end_within(&mut self, deadline: Duration) -> Option<ExitStatus> {
        let begin = Instant::now();
        // The descriptor becomes readable when the process ends (pidfd_open(2)).
        let pidfd = pidfd_open(Pid::from_child(&self.child), PidfdFlags::empty()).ok();
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            let left = deadline.saturating_sub(begin.elapsed());
            if left.is_zero() {
                return None;
            }
            let mut fds: Vec<PollFd<'_>> = pidfd.iter().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
            // Without pidfds (Linux before 5.3) it polls ten times a second.
            let left = if fds.is_empty() { left.min(Duration::from_millis(100)) } else { left };
            let _ = poll(&mut fds, Timespec::try_from(left).ok().as_ref());
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.closed {
            self.terminate();
        }
    }
}

/// Reads the program's stderr.
#[derive(Debug)]
struct Stderr {
    lines: Arc<Mutex<VecDeque<String>>>,
    ended: Receiver<()>,
}

impl Stderr {
    fn read(stderr: Option<impl Read + Send + 'static>, shows: bool) -> Self {
        let lines = Arc::new(Mutex::new(VecDeque::new()));
        let (sender, ended) = channel();
        let last_lines = Arc::clone(&lines);
        if let Some(stderr) = stderr {
            std::thread::spawn(move || {
                let mut stderr = BufReader::new(stderr);
                let mut line = Vec::new();
                while stderr.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                    let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                    line.clear();
                    if shows {
                        show(&text);
                    }
                    let mut lines = last_lines.lock().unwrap_or_else(PoisonError::into_inner);
                    lines.push_back(text);
                    if lines.len() > STDERR_LINES {
                        lines.pop_front();
                    }
                }
                drop(sender);
            });
        }
        Stderr { lines, ended }
    }

    /// The last lines, once the program has ended.
    fn end(&self) -> String {
        let _ = self.ended.recv_timeout(LAST_WORDS);
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}

/// With the macro, because test harnesses capture its output.
#[allow(clippy::print_stderr)]
fn show(line: &str) {
    eprintln!("{line}");
}
