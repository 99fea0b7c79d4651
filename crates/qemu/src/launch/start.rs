//! Starts QEMU so that it outlives the program that started it, and tells why it did not come up.

mod early_death;
mod restore;

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use host::command::quote;
use host::deadline::moment_after;
use host::identity::ProcessIdentity;
use host::wait::{Look, Wait};
use model::paths::InstancePaths;
use model::{Error, ErrorClass, EventSink, Result};

use crate::wire::{Wire, WireError};
use crate::{Machine, Qemu, Qmp, argv};

pub use restore::Restore;

/// A start: what, with which QEMU, where its output goes.
#[derive(Debug)]
pub struct Launch<'a> {
    /// The emulator.
    pub qemu: &'a Qemu,
    /// The VM.
    pub machine: &'a Machine,
    /// Takes QEMU's stdout and stderr and the guest's console; made with 0600 if needed, written at its end.
    pub log: PathBuf,
    /// How long QEMU may take until QMP answers.
    pub deadline: Duration,
}

/// A QEMU that runs and has answered on QMP; dropping it leaves it running.
#[derive(Debug)]
pub struct Launched {
    identity: ProcessIdentity,
    child: Child,
}

impl Launch<'_> {
    /// Starts QEMU and returns when its QMP answers: ports and disk are its own by then.
    ///
    /// # Errors
    /// Port when a host port is taken (names who holds it), State when another QEMU holds the disk, Host when the
    /// accelerator or memory cannot be had, Timeout when QMP stays silent (QEMU is killed), Guest for any other early
    /// death, with its last lines.
    pub fn run(&self, events: &dyn EventSink) -> Result<Launched> {
        self.start(argv::arguments(self.machine), events).map(|(launched, _)| launched)
    }

    fn start(&self, arguments: Vec<OsString>, events: &dyn EventSink) -> Result<(Launched, Qmp)> {
        self.machine.check()?;
        let (log, begin) = open_log(&self.log)?;
        let mut command = self.command(arguments, &log)?;
        events.debug(shown(&command, &self.machine.directory));
        let mut child = command.spawn().map_err(|error| {
            Error::new(ErrorClass::Host, format!("cannot start {}", self.qemu.program.display())).because(error)
        })?;
        match self.until_it_answers(&mut child, begin) {
            Ok((identity, qmp)) => {
                events.debug(format!("QEMU runs as pid {}", identity.pid));
                Ok((Launched { identity, child }, qmp))
            }
            Err(error) => {
                end(&mut child);
                Err(error)
            }
        }
    }

    fn command(&self, arguments: Vec<OsString>, log: &File) -> Result<Command> {
        let mut command = host::background::command(&self.qemu.program);
        let copy = |log: &File| log.try_clone().map_err(|error| cannot_open(&self.log, &error));
        command
            .args(arguments)
            .current_dir(&self.machine.directory)
            .stdin(Stdio::null())
            .stdout(copy(log)?)
            .stderr(copy(log)?);
        Ok(command)
    }

    fn until_it_answers(&self, child: &mut Child, begin: u64) -> Result<(ProcessIdentity, Qmp)> {
        let end = moment_after(self.deadline);
        let wait = Wait { what: "QEMU to answer on QMP", deadline: self.deadline, interval: Duration::from_millis(1) };
        let told = wait.until(|_| {
            if child.try_wait().is_ok_and(|status| status.is_some()) {
                return Ok(Look::Ready(None));
            }
            // A socket that was left behind, or is another QEMU's, does not count.
            match Wire::connect(&self.machine.directory, InstancePaths::QMP_SOCKET) {
                Ok(wire) if wire.peer_pid() == child.id() => {
                    match Qmp::negotiate(wire, end.saturating_duration_since(Instant::now())) {
                        Err(error) if error.class() == ErrorClass::Guest => Ok(Look::NotYet(error.to_string())),
                        other => other.map(|qmp| Look::Ready(Some(qmp))),
                    }
                }
                Ok(wire) => Ok(Look::NotYet(format!("pid {} answers in its place", wire.peer_pid()))),
                Err(WireError::Interrupted(error)) => Err(error),
                Err(_) => Ok(Look::NotYet("it does not listen yet".to_owned())),
            }
        });
        match child.try_wait() {
            Ok(Some(status)) if matches!(status.code(), Some(126 | 127)) => {
                // What shells and setsid(1) say of a program that they cannot run.
                let error = Error::new(ErrorClass::Host, format!("cannot start {}", self.qemu.program.display()));
                Err(early_death::with_log(error, &self.log, begin))
            }
            Ok(Some(status)) => Err(early_death::error(self.machine, &self.log, begin, status)),
            Ok(None) => {
                let qmp = told.map_err(|error| {
                    early_death::with_log(error.context("QEMU was started and does not answer"), &self.log, begin)
                })?;
                ProcessIdentity::of(child.id())?
                    .zip(qmp)
                    .ok_or_else(|| Error::new(ErrorClass::Guest, "QEMU ended while it was being looked at"))
            }
            Err(error) => Err(Error::new(ErrorClass::Failed, "cannot look after QEMU").because(error)),
        }
    }
}

impl Launched {
    /// What tells the process from every other.
    pub fn identity(&self) -> &ProcessIdentity {
        &self.identity
    }

    /// Ends it at once, and waits for its end.
    pub fn kill(&mut self) {
        end(&mut self.child);
    }

    /// How it ended ("exit status: 1", "signal: 9 (SIGKILL)"), or nothing while it runs. Reaps it.
    pub fn ended(&mut self) -> Option<String> {
        self.child.try_wait().ok().flatten().map(|status| status.to_string())
    }
}

/// Kills and reaps it. Only this process can reap it, and std signals no child that was reaped: the pid is nobody else's.
fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// The command as a line for a shell.
fn shown(command: &Command, directory: &Path) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<String> = words.map(quote).collect();
    format!("cd {} && {}", quote(directory.as_os_str()), words.join(" "))
}

/// The log, and where this run begins in it. The console may show secrets of the guest.
fn open_log(path: &Path) -> Result<(File, u64)> {
    let open = || -> std::io::Result<(File, u64)> {
        let log = File::options().append(true).create(true).mode(0o600).open(path)?;
        let begin = log.metadata()?.len();
        Ok((log, begin))
    };
    open().map_err(|error| cannot_open(path, &error))
}

fn cannot_open(path: &Path, error: &std::io::Error) -> Error {
    Error::new(ErrorClass::Host, format!("cannot write the log {}", path.display())).because(error)
}
