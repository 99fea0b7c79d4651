//! The shutdown escalation: guest power-off, QMP `quit`, SIGTERM, SIGKILL, each with a deadline.

use std::path::Path;
use std::time::{Duration, Instant};

use host::deadline::moment_after;
use host::identity::ProcessHandle;
use model::{Error, ErrorClass, EventSink, Result};

use crate::qmp::RunState;
use crate::{Agent, Qmp};

/// How long a QMP call or an attempt to reach the agent may take. Healthy ones take milliseconds, and the next stage waits.
const CALL: Duration = Duration::from_secs(2);

/// How often a wait checks for the user's interrupt and QEMU's events.
const SLICE: Duration = Duration::from_millis(200);

/// A shutdown escalation: how long each stage may take. A stage of zero is left out, except SIGKILL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Escalation {
    /// The guest's own power-off, by the ACPI button and the agent.
    pub power_off: Duration,
    /// After this long the button is pressed again: a guest that boots misses it.
    pub press_again: Duration,
    /// QMP `quit`.
    pub quit: Duration,
    /// SIGTERM.
    pub terminate: Duration,
    /// SIGKILL.
    pub kill: Duration,
}

/// A stage of the escalation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The guest powered off.
    PowerOff,
    /// QEMU ended by QMP.
    Quit,
    /// QEMU ended by SIGTERM.
    Terminate,
    /// QEMU ended by SIGKILL.
    Kill,
}

/// How the VM was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped {
    /// The stage that ended it.
    pub stage: Stage,
    /// Whether the guest shut itself down, so that its filesystems are clean.
    pub clean: bool,
}

impl Escalation {
    /// An escalation that gives the guest `clean` to power off (the user's `timeouts.stop`).
    pub fn with_clean(clean: Duration) -> Self {
        let stage = Duration::from_secs(5);
        Escalation { power_off: clean, press_again: stage, quit: stage, terminate: stage, kill: stage }
    }

    /// SIGKILL alone, for a VM whose disk is deleted: on a busy host every other stage may take seconds.
    pub fn hard() -> Self {
        let (none, stage) = (Duration::ZERO, Duration::from_secs(30));
        Escalation { power_off: none, press_again: stage, quit: none, terminate: none, kill: stage }
    }

    /// Goes through the stages until the process has ended. `directory` is `InstancePaths::vm_dir`, which has the sockets.
    ///
    /// # Errors
    /// Timeout when even SIGKILL did not end the process; Interrupted, with the process alive.
    pub fn stop(&self, process: &ProcessHandle, directory: &Path, events: &dyn EventSink) -> Result<Stopped> {
        let mut shutdown = Shutdown { process, directory, events, qmp: None, guest_shut_down: false };
        for stage in [Stage::PowerOff, Stage::Quit, Stage::Terminate, Stage::Kill] {
            if shutdown.ends_at(stage, self)? {
                return Ok(Stopped { stage, clean: shutdown.guest_shut_down });
            }
        }
        let pid = process.pid();
        Err(Error::new(ErrorClass::Timeout, format!("QEMU (pid {pid}) does not end"))
            .because("SIGKILL had no effect: it hangs in the host's kernel")
            .next(format!("ps -o pid,stat,wchan,cmd -p {pid}")))
    }
}

/// An escalation under way.
struct Shutdown<'a> {
    process: &'a ProcessHandle,
    directory: &'a Path,
    events: &'a dyn EventSink,
    qmp: Option<Qmp>,
    /// Whether QEMU has reported that the guest shut itself down.
    guest_shut_down: bool,
}

impl Shutdown<'_> {
    /// Whether the process has ended after this stage.
    fn ends_at(&mut self, stage: Stage, escalation: &Escalation) -> Result<bool> {
        // An interrupt makes QMP calls fail, which is no reason for the next stage.
        host::interrupt::check()?;
        match stage {
            Stage::PowerOff if escalation.power_off.is_zero() => Ok(false),
            Stage::PowerOff => self.power_off(escalation),
            Stage::Quit if escalation.quit.is_zero() => Ok(false),
            Stage::Quit => match self.with_qmp("quit", Qmp::quit) {
                Some(()) => self.wait(escalation.quit),
                None => self.wait(Duration::ZERO),
            },
            Stage::Terminate if escalation.terminate.is_zero() => Ok(false),
            Stage::Terminate => {
                self.events.debug(format!("sending SIGTERM to pid {}", self.process.pid()));
                self.process.terminate()?;
                self.wait(escalation.terminate)
            }
            Stage::Kill => {
                self.events.debug(format!("sending SIGKILL to pid {}", self.process.pid()));
                self.process.kill()?;
                self.wait(escalation.kill)
            }
        }
    }

    fn power_off(&mut self, escalation: &Escalation) -> Result<bool> {
        let end = moment_after(escalation.power_off);
        match self.with_qmp("query-status", Qmp::status) {
            // A paused guest does not notice the button.
            Some(RunState::Paused) => drop(self.with_qmp("cont", Qmp::cont)),
            Some(RunState::Other(state)) => {
                self.events.debug(format!("the guest is in state {state} and cannot power off"));
                return self.wait(Duration::ZERO);
            }
            Some(RunState::Running) | None => {}
        }
        let mut asked = self.with_qmp("system_powerdown", Qmp::power_down).is_some();
        asked |= self.ask_agent(end);
        if !asked {
            return self.wait(Duration::ZERO);
        }
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if self.wait(left.min(escalation.press_again))? {
                return Ok(true);
            }
            if left <= escalation.press_again {
                return Ok(false);
            }
            if !self.guest_shut_down {
                self.with_qmp("system_powerdown", Qmp::power_down);
            }
        }
    }

    fn ask_agent(&mut self, end: Instant) -> bool {
        let limit = CALL.min(end.saturating_duration_since(Instant::now()));
        let asked = Agent::connect(self.directory, limit).and_then(|mut agent| agent.shut_down(CALL));
        if let Err(error) = &asked {
            self.events.debug(format!("the agent was not asked to shut down: {error}"));
        }
        asked.is_ok()
    }

    /// Runs a command on the QMP connection, which is opened again if needed. A failure is only logged for `--debug`: the
    /// next stage does not depend on it.
    fn with_qmp<T>(&mut self, name: &str, command: impl FnOnce(&mut Qmp) -> Result<T>) -> Option<T> {
        if self.qmp.as_ref().is_some_and(Qmp::is_closed) {
            // The guest's shutdown may be the last event on it.
            self.listen();
            self.qmp = None;
        }
        let answer = match self.qmp.take() {
            Some(qmp) => Ok(qmp),
            None => Qmp::connect(self.directory, CALL),
        }
        .and_then(|mut qmp| {
            let answer = command(&mut qmp);
            self.qmp = Some(qmp);
            answer
        });
        match answer {
            Ok(value) => {
                self.events.debug(format!("QMP {name}: done"));
                Some(value)
            }
            Err(error) => {
                self.events.debug(format!("QMP {name}: {error}"));
                None
            }
        }
    }

    /// Waits for the end of the process and reads QEMU's events meanwhile.
    fn wait(&mut self, limit: Duration) -> Result<bool> {
        let end = moment_after(limit);
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let gone = self.process.wait(left.min(SLICE))?;
            self.listen();
            if gone || left.is_zero() {
                return Ok(gone);
            }
            host::interrupt::check()?;
        }
    }

    fn listen(&mut self) {
        let Some(qmp) = &mut self.qmp else { return };
        for event in qmp.events(Duration::ZERO).unwrap_or_default() {
            self.events.debug(format!("QEMU: {} {}", event.name, event.data));
            // SHUTDOWN of qapi/run-state.json: `guest` says whether the guest did it.
            self.guest_shut_down |= event.name == "SHUTDOWN" && event.data["guest"] == true;
        }
    }
}
