//! A guest that is stopped for a moment, so that its disk, RAM and devices can be saved as one.

use std::time::{Duration, Instant};

use host::interrupt::{self, Deferred};
use model::{Error, ErrorClass, EventSink, Result};

use crate::Qmp;
use crate::qmp::RunState;

/// A guest whose CPUs are stopped. Interrupts are deferred as long as it lives, and at its end, whatever has happened
/// meanwhile, the guest runs again if it ran before.
pub struct StoppedGuest<'a> {
    qmp: &'a mut Qmp,
    events: &'a dyn EventSink,
    /// Whether it ran, and is to run again.
    resumes: bool,
    begin: Instant,
    _deferred: Deferred,
}

impl<'a> StoppedGuest<'a> {
    /// Stops the guest.
    ///
    /// # Errors
    /// As [`Qmp::execute`]; a stop whose outcome is unknown is taken back.
    pub fn stop(qmp: &'a mut Qmp, events: &'a dyn EventSink) -> Result<Self> {
        let resumes = qmp.status()? == RunState::Running;
        let stopped = StoppedGuest { qmp, events, resumes, begin: Instant::now(), _deferred: interrupt::defer() };
        stopped.qmp.stop()?;
        Ok(stopped)
    }

    /// The connection.
    pub(crate) fn qmp(&mut self) -> &mut Qmp {
        self.qmp
    }

    /// Lets the guest run again; for how long it was paused.
    ///
    /// # Errors
    /// As [`Qmp::execute`].
    pub fn resume(mut self) -> Result<Duration> {
        let resumed = if self.resumes { self.cont() } else { Ok(()) };
        self.resumes = false;
        resumed.map(|()| self.begin.elapsed())
    }

    /// Ends QEMU instead.
    ///
    /// # Errors
    /// As [`Qmp::quit`]; then the guest runs again, if it can.
    pub fn quit(mut self) -> Result<()> {
        self.qmp.quit()?;
        self.resumes = false;
        Ok(())
    }

    /// An answer may be late, so that a second question can find the guest running.
    fn cont(&mut self) -> Result<()> {
        match self.qmp.cont() {
            Err(error) if !self.qmp.is_closed() => match self.qmp.status() {
                Ok(RunState::Running) => Ok(()),
                _ => Err(error),
            },
            other => other,
        }
    }
}

impl Drop for StoppedGuest<'_> {
    fn drop(&mut self) {
        if self.resumes
            && !self.qmp.is_closed()
            && let Err(error) = self.cont()
        {
            let error =
                Error::new(ErrorClass::Guest, "the guest was paused to be saved, and does not resume").because(error);
            self.events.warning(error.to_string());
        }
    }
}
