//! The supervisor: a process of ours beside every VM. It bounds the log while no command runs, lets resets through of a guest
//! that nobody waits for, lets a paused guest go on when somebody connects to it and, where `auto_pause` is set, pauses a
//! guest that nobody uses. It ends with the VM.
//!
//! Everything that it does others can do without it: what a supervisor that was killed has left undone the next verb does,
//! which also starts another one.

mod spawn;
mod unattended;

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use host::identity::ProcessHandle;
use host::lock::FileLock;
use model::event::Silent;
use model::paths::InstancePaths;
use model::{ErrorClass, EventSink, Result};
use qemu::qmp::RunState;
use qemu::wake_line::Call;
use qemu::{Qmp, WakeLine};

use crate::instance::paused;
use crate::instance::state_file::StateFile;

pub(crate) use spawn::{beside, ensure, listen};

/// How often it looks at most whether a VM is used.
const LONGEST_INTERVAL: Duration = Duration::from_secs(15);
/// How long QMP may take.
const QMP_DEADLINE: Duration = Duration::from_secs(2);
/// How long the supervisor of a VM that was ended just now may hold what the one of the next VM wants.
const PREDECESSOR: Duration = Duration::from_secs(10);
/// How often that is tried.
const TRY_AGAIN: Duration = Duration::from_millis(200);

/// What a supervisor looks after.
pub struct Supervisor<'a> {
    /// The instance's files.
    pub paths: InstancePaths,
    /// After how long without a connection the guest is paused.
    pub auto_pause: Option<Duration>,
    /// Who listens.
    pub events: &'a dyn EventSink,
}

impl Supervisor<'_> {
    /// Keeps the VM until it ends, or until there is nothing to do; `line` is that of a guest that was paused already
    /// ([`WakeLine::into_fd`]).
    ///
    /// # Errors
    /// Interrupted, and errors after which the VM is better left alone.
    pub fn run(&self, line: Option<OwnedFd>) -> Result<()> {
        let Some(process) = self.process()? else { return Ok(()) };
        // Beside the supervisor of the VM it is there for the line alone.
        let patience = if line.is_some() { Duration::ZERO } else { PREDECESSOR };
        std::thread::scope(|scope| {
            // Apart from each other: what the guest's words do to one of them leaves the log bounded.
            let others = scope.spawn(|| self.pause_and_wake(&process, line, patience));
            let bounded = unattended::keep(self, &process, patience);
            let others = others.join().unwrap_or(Ok(()));
            bounded.and(others)
        })
    }

    fn process(&self) -> Result<Option<ProcessHandle>> {
        let Some(state_file) = StateFile::read(&self.paths.state_file())? else { return Ok(None) };
        let Some(identity) = &state_file.process else { return Ok(None) };
        ProcessHandle::open(identity, &state_file.uuid)
    }

    fn pause_and_wake(&self, process: &ProcessHandle, line: Option<OwnedFd>, patience: Duration) -> Result<()> {
        let mut line = line.map(WakeLine::from_fd);
        let mut lock = None;
        loop {
            if let Some(line) = line.take() {
                self.stand_by(line)?;
            }
            let Some(idle) = self.auto_pause else { return Ok(()) };
            if lock.is_none() {
                lock = take(&self.paths.supervisor_lock(), process, patience)?;
            }
            // Another one does it.
            if lock.is_none() {
                return Ok(());
            }
            line = self.until_idle(process, idle)?;
            if line.is_none() {
                return Ok(());
            }
        }
    }

    /// Waits until somebody wants the guest, and lets it go on.
    fn stand_by(&self, line: WakeLine) -> Result<()> {
        let directory = self.paths.vm_dir();
        if line.wait(&directory)? == Call::Wanted && line.answer(&directory)? {
            paused::after_resume(&self.paths, self.events)?;
        }
        Ok(())
    }

    /// Waits until nobody has used the VM for `idle`, and pauses it; nothing when the VM ended.
    fn until_idle(&self, process: &ProcessHandle, idle: Duration) -> Result<Option<WakeLine>> {
        let interval = LONGEST_INTERVAL.min(idle / 10);
        let mut used = Instant::now();
        while !process.wait(interval)? {
            // A verb at work is a use, and QMP is then its own.
            let Some(_lock) = try_lock(&self.paths.lock())? else {
                used = Instant::now();
                continue;
            };
            match self.unused() {
                Ok(Some(mut qmp)) if used.elapsed() >= idle => {
                    let why = format!("nothing was connected for {}", humantime::format_duration(idle));
                    return paused::pause_guest(&mut qmp, &self.paths, &why).map(Some);
                }
                Ok(Some(_)) => {}
                Ok(None) => used = Instant::now(),
                Err(error) if error.class() == ErrorClass::Interrupted => return Err(error),
                // It may be ending.
                Err(error) => {
                    self.events.debug(error.to_string());
                    used = Instant::now();
                }
            }
        }
        Ok(None)
    }

    /// QMP of a VM whose guest runs and to which nothing is connected now.
    fn unused(&self) -> Result<Option<Qmp>> {
        let mut qmp = Qmp::connect(&self.paths.vm_dir(), QMP_DEADLINE)?;
        let unused = qmp.status()? == RunState::Running && qmp.user_network()?.connections == 0;
        Ok(unused.then_some(qmp))
    }
}

/// The lock, unless another process holds it.
fn try_lock(path: &std::path::Path) -> Result<Option<FileLock>> {
    match FileLock::acquire(path, "the VM", Duration::ZERO, &Silent) {
        Ok(lock) => Ok(Some(lock)),
        Err(error) if error.class() == ErrorClass::State => Ok(None),
        Err(error) => Err(error),
    }
}

/// The same, tried for as long as `patience` while the VM runs.
fn take(path: &std::path::Path, process: &ProcessHandle, patience: Duration) -> Result<Option<FileLock>> {
    let begin = Instant::now();
    loop {
        let lock = try_lock(path)?;
        if lock.is_some() || begin.elapsed() >= patience || process.wait(TRY_AGAIN)? {
            return Ok(lock);
        }
    }
}
