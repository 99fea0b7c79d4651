//! Waits that end at once when the guest dies: each look first checks QEMU and the console.

use std::path::PathBuf;
use std::time::Duration;

use host::files;
use host::identity::ProcessHandle;
use host::wait::{Look, Wait};
use model::error::LogTail;
use model::paths::InstancePaths;
use model::{Error, ErrorClass, EventSink, Result};
use qemu::console::ConsoleReader;

use crate::instance::vm_log;
use crate::instance::wait::guest_health::GuestHealth;
use host::deadline::Deadline;

/// How many lines of the log an error shows.
const TAIL_LINES: usize = 20;
/// The pause between two looks.
const INTERVAL: Duration = Duration::from_millis(200);

/// The task of the progress events with lines of the console.
const CONSOLE: &str = "console";

/// Watches a guest during waits.
pub(crate) struct GuestWatch<'a> {
    process: &'a ProcessHandle,
    console: ConsoleReader,
    log: PathBuf,
    pid_file: PathBuf,
    /// Whether a reset by the guest ends QEMU ([`qemu::argv::arguments`]).
    resets_end: bool,
    health: Option<GuestHealth>,
    events: &'a dyn EventSink,
}

impl<'a> GuestWatch<'a> {
    /// Watches `process`. `console` was opened before the launch, or at the end of the log of a running VM.
    pub(crate) fn new(
        process: &'a ProcessHandle,
        console: ConsoleReader,
        paths: &InstancePaths,
        events: &'a dyn EventSink,
    ) -> Self {
        let (log, pid_file) = (paths.log(), paths.pid());
        GuestWatch { process, console, log, pid_file, resets_end: false, health: None, events }
    }

    /// Sets whether a reset by the guest ends QEMU from now on.
    pub(crate) fn resets_end(&mut self, they_do: bool) {
        self.resets_end = they_do;
    }

    /// From now on every wait also checks the guest's health. No other connection to the agent may be open then.
    pub(crate) fn attend(&mut self, health: GuestHealth) {
        self.health = Some(health);
    }

    /// Checks that QEMU runs and that the console reports no fatal error.
    ///
    /// # Errors
    /// A Guest error otherwise, with the end of the log.
    pub(crate) fn check(&mut self) -> Result<()> {
        // A guest that prints without end must not fill the disk during the wait.
        vm_log::bound(&self.log)?;
        // Before the console is read, so that its last lines have been read when QEMU is found dead.
        let is_alive = self.process.is_alive();
        let news = self.console.news()?;
        if let Some(line) = news.progress {
            self.events.progress(CONSOLE, line);
        }
        for sign in news.signs {
            if sign.is_final() {
                return Err(Error::new(ErrorClass::Guest, "the guest cannot continue")
                    .because(sign.line())
                    .next("k3s-vm logs    # the whole console")
                    .next("k3s-vm reset   # a new disk")
                    .with_log(self.tail()));
            }
            self.events.warning(format!("the guest's console says: {}", sign.line()));
        }
        if is_alive {
            return Ok(());
        }
        // QEMU removes its pid file whenever it ends by itself.
        if self.resets_end && !self.pid_file.exists() {
            return Err(Error::new(ErrorClass::Guest, "the guest ended before its cluster was Ready")
                .because("it reset or powered itself off; until then either ends QEMU, since what cannot boot would begin again and again")
                .next("k3s-vm logs    # the whole console")
                .next("k3s-vm reset   # a new disk")
                .with_log(self.tail()));
        }
        Err(Error::new(ErrorClass::Guest, format!("QEMU (pid {}) has ended", self.process.pid()))
            .next("k3s-vm start   # starts it again; data on the disk are kept")
            .with_log(self.tail()))
    }

    /// Waits until `look` is ready. `look` gets the time that is left.
    ///
    /// # Errors
    /// Timeout when the deadline passes, with the end of the log; a Guest error when the guest dies; those of `look`.
    pub(crate) fn wait<T>(
        &mut self,
        what: &str,
        deadline: Deadline,
        mut look: impl FnMut(Duration) -> Result<Look<T>>,
    ) -> Result<T> {
        let wait = Wait { what, deadline: deadline.left(), interval: INTERVAL };
        let mut observation = String::new();
        let events = self.events;
        let result = wait.until(|left| {
            self.check()?;
            let seen = look(left)?;
            if let (Look::NotYet(_), Some(health)) = (&seen, &mut self.health) {
                health.check()?;
            }
            if let Look::NotYet(text) = &seen
                && *text != observation
            {
                events.progress(what, text.clone());
                observation.clone_from(text);
            }
            Ok(seen)
        });
        for task in [what, CONSOLE] {
            self.events.emit(model::Event::TaskFinished { task: task.to_owned() });
        }
        result.map_err(|error| match error.class() {
            ErrorClass::Timeout if error.log().is_none() => error
                .next("k3s-vm start --timeout 30m    # on a slow host; it continues from here")
                .next("k3s-vm logs                   # the whole console")
                .with_log(self.tail()),
            _ => error,
        })
    }

    fn tail(&self) -> LogTail {
        LogTail { source: self.log.display().to_string(), lines: files::tail(&self.log, TAIL_LINES) }
    }
}
