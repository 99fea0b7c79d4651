//! The start of a QEMU, up to its first answer on QMP.

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

use super::early_death;
use super::error::LaunchError;
use crate::qmp::ConnectError;
use crate::wire::{Wire, WireError};
use crate::{Machine, Qemu, Qmp, argv};

/// A VM to start, the QEMU that runs it, and the log for its output.
#[derive(Debug)]
pub struct Launch<'a> {
    /// The emulator.
    pub qemu: &'a Qemu,
    /// The VM.
    pub machine: &'a Machine,
    /// The file to which QEMU's stdout and stderr and the guest's console are appended; created with mode 0600.
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
    /// Starts QEMU and returns when QMP answers: QEMU has opened its ports and its disk by then.
    ///
    /// # Errors
    /// [`LaunchError::PortTaken`], [`LaunchError::Died`] with QEMU's last lines, [`LaunchError::NoAnswer`];
    /// [`LaunchError::Other`] of class State when another QEMU uses the disk, of class Host when the accelerator or the
    /// memory is not available. No QEMU is left behind.
    pub fn run(&self, events: &dyn EventSink) -> Result<Launched, LaunchError> {
        self.start(argv::arguments(self.machine), events).map(|(launched, _)| launched)
    }

    pub(super) fn start(
        &self,
        arguments: Vec<OsString>,
        events: &dyn EventSink,
    ) -> Result<(Launched, Qmp), LaunchError> {
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

    fn until_it_answers(&self, child: &mut Child, begin: u64) -> Result<(ProcessIdentity, Qmp), LaunchError> {
        let end = moment_after(self.deadline);
        let wait = Wait { what: "QEMU to answer on QMP", deadline: self.deadline, interval: Duration::from_millis(1) };
        let answered = wait.until(|_| {
            if child.try_wait().is_ok_and(|status| status.is_some()) {
                return Ok(Look::Ready(None));
            }
            // Not a socket that was left behind, nor that of another QEMU.
            match Wire::connect(&self.machine.directory, InstancePaths::QMP_SOCKET) {
                Ok(wire) if wire.peer_pid() == child.id() => {
                    match Qmp::negotiate(wire, end.saturating_duration_since(Instant::now())) {
                        Ok(qmp) => Ok(Look::Ready(Some(qmp))),
                        Err(ConnectError::Gone(error)) => Ok(Look::NotYet(error.to_string())),
                        Err(ConnectError::Other(error)) => Err(error),
                    }
                }
                Ok(wire) => Ok(Look::NotYet(format!("pid {} answers in its place", wire.peer_pid()))),
                Err(WireError::Interrupted(error)) => Err(error),
                Err(_) => Ok(Look::NotYet("it does not listen yet".to_owned())),
            }
        });
        match child.try_wait() {
            Ok(Some(status)) if matches!(status.code(), Some(126 | 127)) => {
                // The exit codes of shells and setsid(1) for a program that they cannot run.
                let error = Error::new(ErrorClass::Host, format!("cannot start {}", self.qemu.program.display()));
                Err(early_death::with_log(error, &self.log, begin).into())
            }
            Ok(Some(status)) => Err(early_death::error(self.machine, &self.log, begin, status)),
            Ok(None) => {
                let qmp = answered.map_err(|error| {
                    let error = error.context("QEMU was started and does not answer");
                    let error = early_death::with_log(error, &self.log, begin);
                    LaunchError::unless_interrupted(error, LaunchError::NoAnswer)
                })?;
                let ended = || LaunchError::Died(Error::new(ErrorClass::Guest, "QEMU ended right after it answered"));
                ProcessIdentity::of(child.id())?.zip(qmp).ok_or_else(ended)
            }
            Err(error) => Err(LaunchError::NoAnswer(
                Error::new(ErrorClass::Failed, "cannot find out whether QEMU runs").because(error),
            )),
        }
    }
}

impl Launched {
    /// The identity of its process.
    pub fn identity(&self) -> &ProcessIdentity {
        &self.identity
    }

    /// Kills it and waits for its end.
    pub fn kill(&mut self) {
        end(&mut self.child);
    }

    /// How it ended ("exit status: 1", "signal: 9 (SIGKILL)"); `None` while it runs. Reaps the process.
    pub fn ended(&mut self) -> Option<String> {
        self.child.try_wait().ok().flatten().map(|status| status.to_string())
    }
}

/// Kills and reaps it. Only this process can reap it, and std signals no child that was reaped, so the pid cannot be that of
/// another process.
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

/// The log, and the offset at which this run begins in it. Others may not read it: a guest may print secrets.
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
