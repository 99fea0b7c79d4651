//! A guest that is paused for a moment, so that its disk, RAM and device state are saved together.

use std::time::{Duration, Instant};

use host::interrupt::{self, Deferred};
use model::{Error, ErrorClass, EventSink, Result};

use crate::Qmp;
use crate::qmp::RunState;

/// A paused guest. Interrupts are deferred until this is dropped; then the guest is resumed if it ran before, whatever has
/// happened meanwhile.
pub struct StoppedGuest<'a> {
    qmp: &'a mut Qmp,
    events: &'a dyn EventSink,
    /// Whether it ran before, so that it must be resumed.
    resumes: bool,
    begin: Instant,
    _deferred: Deferred,
}

impl<'a> StoppedGuest<'a> {
    /// Pauses the guest.
    ///
    /// # Errors
    /// As [`Qmp::execute`]; where it is unknown whether the guest is paused, it is resumed.
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

    /// Resumes the guest if it ran before; returns how long it was paused.
    ///
    /// # Errors
    /// As [`Qmp::execute`].
    pub fn resume(mut self) -> Result<Duration> {
        let resumed = if self.resumes { self.cont() } else { Ok(()) };
        self.resumes = false;
        resumed.map(|()| self.begin.elapsed())
    }

    /// Ends QEMU instead of resuming the guest.
    ///
    /// # Errors
    /// As [`Qmp::quit`]; the guest is resumed then, if possible.
    pub fn quit(mut self) -> Result<()> {
        self.qmp.quit()?;
        self.resumes = false;
        Ok(())
    }

    /// Resumes the guest. Where the answer is late, the guest may run nevertheless, so its state is asked for.
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
