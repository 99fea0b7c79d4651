//! Stops a VM by a bounded ladder: power-off in the guest, QMP `quit`, SIGTERM, SIGKILL.

use std::path::Path;
use std::time::{Duration, Instant};

use host::deadline::moment_after;
use host::identity::ProcessHandle;
use model::{EventSink, Fault, FaultClass, Result};

use crate::qmp::RunState;
use crate::{Agent, Qmp};

/// How long one QMP call or one attempt to reach the agent may take here: a healthy one answers in milliseconds, and
/// the next rung waits for nothing else.
const CALL: Duration = Duration::from_secs(2);

/// How long a wait lasts before the user's interrupt and QEMU's events are looked at.
const SLICE: Duration = Duration::from_millis(200);

/// How long each rung may take. A rung of zero is left out, except SIGKILL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ladder {
    /// The guest's own power-off, by ACPI button and agent.
    pub power_off: Duration,
    /// The pause after which the button is pressed again: early in the boot nobody notices it.
    pub press_again: Duration,
    /// QMP `quit`.
    pub quit: Duration,
    /// SIGTERM.
    pub terminate: Duration,
    /// SIGKILL.
    pub kill: Duration,
}

/// A rung of the ladder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rung {
    /// The guest powered off.
    PowerOff,
    /// QEMU ended by QMP.
    Quit,
    /// QEMU ended by SIGTERM.
    Terminate,
    /// QEMU ended by SIGKILL.
    Kill,
}

/// How the VM went down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped {
    /// The rung that ended it.
    pub rung: Rung,
    /// Whether the guest shut itself down: its filesystems are clean.
    pub clean: bool,
}

impl Ladder {
    /// The ladder whose clean part takes at most `clean` (the user's `timeouts.stop`).
    pub fn with_clean(clean: Duration) -> Self {
        let rung = Duration::from_secs(5);
        Ladder { power_off: clean, press_again: rung, quit: rung, terminate: rung, kill: rung }
    }

    /// SIGKILL alone, for a VM whose disk is thrown away: a busy host may take seconds for anything gentler.
    pub fn hard() -> Self {
        let (none, rung) = (Duration::ZERO, Duration::from_secs(30));
        Ladder { power_off: none, press_again: rung, quit: none, terminate: none, kill: rung }
    }

    /// Climbs until the process is gone. `folder` is `InstancePaths::vm_dir`, which has the sockets.
    ///
    /// # Errors
    /// Timeout when even SIGKILL did not end it; Interrupted when the user asked to stop, with the process alive.
    pub fn stop(&self, process: &ProcessHandle, folder: &Path, events: &dyn EventSink) -> Result<Stopped> {
        let mut climb = Climb { process, folder, events, qmp: None, guest_shut_down: false };
        for rung in [Rung::PowerOff, Rung::Quit, Rung::Terminate, Rung::Kill] {
            if climb.rung(rung, self)? {
                return Ok(Stopped { rung, clean: climb.guest_shut_down });
            }
        }
        let pid = process.pid();
        Err(Fault::new(FaultClass::Timeout, format!("QEMU (pid {pid}) does not end"))
            .because("SIGKILL had no effect: it hangs in the host's kernel")
            .next(format!("ps -o pid,stat,wchan,cmd -p {pid}")))
    }
}

struct Climb<'a> {
    process: &'a ProcessHandle,
    folder: &'a Path,
    events: &'a dyn EventSink,
    qmp: Option<Qmp>,
    /// QEMU said that the guest, not somebody outside, ended it.
    guest_shut_down: bool,
}

impl Climb<'_> {
    /// Whether the process is gone after this rung.
    fn rung(&mut self, rung: Rung, ladder: &Ladder) -> Result<bool> {
        // An interrupt makes QMP calls fail: that must not look like a reason to climb on.
        host::interrupt::check()?;
        match rung {
            Rung::PowerOff if ladder.power_off.is_zero() => Ok(false),
            Rung::PowerOff => self.power_off(ladder),
            Rung::Quit if ladder.quit.is_zero() => Ok(false),
            Rung::Quit => match self.with_qmp("quit", Qmp::quit) {
                Some(()) => self.wait(ladder.quit),
                None => self.wait(Duration::ZERO),
            },
            Rung::Terminate if ladder.terminate.is_zero() => Ok(false),
            Rung::Terminate => {
                self.events.debug(format!("sending SIGTERM to pid {}", self.process.pid()));
                self.process.terminate()?;
                self.wait(ladder.terminate)
            }
            Rung::Kill => {
                self.events.debug(format!("sending SIGKILL to pid {}", self.process.pid()));
                self.process.kill()?;
                self.wait(ladder.kill)
            }
        }
    }

    fn power_off(&mut self, ladder: &Ladder) -> Result<bool> {
        let end = moment_after(ladder.power_off);
        match self.with_qmp("query-status", Qmp::status) {
            // A guest that stands still notices no button.
            Some(RunState::Paused) => drop(self.with_qmp("cont", Qmp::cont)),
            Some(RunState::Other(state)) => {
                self.events.debug(format!("the guest is in state {state} and cannot power off"));
                return self.wait(Duration::ZERO);
            }
            Some(RunState::Running) | None => {}
        }
        let mut told = self.with_qmp("system_powerdown", Qmp::power_down).is_some();
        told |= self.ask_agent(end);
        if !told {
            return self.wait(Duration::ZERO);
        }
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if self.wait(left.min(ladder.press_again))? {
                return Ok(true);
            }
            if left <= ladder.press_again {
                return Ok(false);
            }
            if !self.guest_shut_down {
                self.with_qmp("system_powerdown", Qmp::power_down);
            }
        }
    }

    fn ask_agent(&mut self, end: Instant) -> bool {
        let limit = CALL.min(end.saturating_duration_since(Instant::now()));
        let asked = Agent::connect(self.folder, limit).and_then(|mut agent| agent.shut_down(CALL));
        if let Err(fault) = &asked {
            self.events.debug(format!("the agent was not told to shut down: {fault}"));
        }
        asked.is_ok()
    }

    /// Runs one command on a QMP connection, made anew if needed; a failure is a line for `--debug`, since the next
    /// rung does without.
    fn with_qmp<T>(&mut self, name: &str, command: impl FnOnce(&mut Qmp) -> Result<T>) -> Option<T> {
        let answer = match self.qmp.take().filter(|qmp| !qmp.is_closed()) {
            Some(qmp) => Ok(qmp),
            None => Qmp::connect(self.folder, CALL),
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
            Err(fault) => {
                self.events.debug(format!("QMP {name}: {fault}"));
                None
            }
        }
    }

    /// Waits for the end of the process; listens to QEMU's events meanwhile.
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
            // SHUTDOWN of qapi/run-state.json: `guest` tells who asked.
            self.guest_shut_down |= event.name == "SHUTDOWN" && event.data["guest"] == true;
        }
    }
}
