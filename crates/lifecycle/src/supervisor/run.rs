//! The work of the supervisor process.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use host::identity::ProcessHandle;
use host::lock::FileLock;
use model::paths::InstancePaths;
use model::{ErrorClass, EventSink, Result};
use qemu::qmp::RunState;
use qemu::wake_line::Call;
use qemu::{Qmp, WakeLine};

use super::unattended;
use crate::instance::paused::{after_resume, pause_guest};
use crate::instance::state_file::StateFile;
use crate::instance::supervisor_lock::wait_for_lock;

/// The longest interval between two checks whether a VM is used.
const LONGEST_INTERVAL: Duration = Duration::from_secs(15);
/// The timeout of one QMP call.
const QMP_DEADLINE: Duration = Duration::from_secs(2);
/// How long the supervisor of a VM that has just ended may still hold the locks that the supervisor of the next VM
/// needs.
const PREDECESSOR: Duration = Duration::from_secs(10);

/// The supervisor of one VM.
pub struct Supervisor<'a> {
    /// The instance's files.
    pub paths: InstancePaths,
    /// Pause the guest after this long without a connection.
    pub auto_pause: Option<Duration>,
    /// Receives the events.
    pub events: &'a dyn EventSink,
}

impl Supervisor<'_> {
    /// Supervises the VM until it ends, or until there is nothing left to do. `line` is the wake line of a guest that
    /// is paused already ([`WakeLine::into_fd`]).
    ///
    /// # Errors
    /// Interrupted, and errors after which the VM is better left alone.
    pub fn run(&self, line: Option<OwnedFd>) -> Result<()> {
        let Some(process) = self.process()? else { return Ok(()) };
        // With a line, the VM has a supervisor already and this one only waits for the call.
        let patience = if line.is_some() { Duration::ZERO } else { PREDECESSOR };
        std::thread::scope(|scope| {
            // In a thread of its own, so that whatever the guest does to it, the log stays bounded.
            let pausing = scope.spawn(|| self.pause_and_wake(&process, line, patience));
            let bounded = unattended::run(&self.paths, self.events, &process, patience);
            let pausing = pausing.join().unwrap_or(Ok(()));
            bounded.and(pausing)
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
                self.resume_when_called(line)?;
            }
            let Some(idle) = self.auto_pause else { return Ok(()) };
            if lock.is_none() {
                lock = wait_for_lock(&self.paths.supervisor_lock(), process, patience)?;
            }
            // Another supervisor pauses the guest.
            if lock.is_none() {
                return Ok(());
            }
            line = self.pause_when_idle(process, idle)?;
            if line.is_none() {
                return Ok(());
            }
        }
    }

    /// Waits until somebody connects to the guest, and resumes it.
    fn resume_when_called(&self, line: WakeLine) -> Result<()> {
        let directory = self.paths.vm_dir();
        if line.wait(&directory)? == Call::Wanted && line.answer(&directory)? {
            after_resume(&self.paths, self.events)?;
        }
        Ok(())
    }

    /// Waits until nobody has used the VM for `idle`, and pauses it. Returns nothing if the VM ended.
    fn pause_when_idle(&self, process: &ProcessHandle, idle: Duration) -> Result<Option<WakeLine>> {
        let interval = LONGEST_INTERVAL.min(idle / 10);
        let mut last_used = Instant::now();
        while !process.wait(interval)? {
            // A running verb counts as use, and needs QMP for itself.
            let Some(_lock) = FileLock::try_acquire(&self.paths.lock())? else {
                last_used = Instant::now();
                continue;
            };
            match self.unused() {
                Ok(Some(mut qmp)) if last_used.elapsed() >= idle => {
                    let why = format!("nothing was connected for {}", humantime::format_duration(idle));
                    return pause_guest(&mut qmp, &self.paths, &why).map(Some);
                }
                Ok(Some(_)) => {}
                Ok(None) => last_used = Instant::now(),
                Err(error) if error.class() == ErrorClass::Interrupted => return Err(error),
                // The VM may be ending.
                Err(error) => {
                    self.events.debug(error.to_string());
                    last_used = Instant::now();
                }
            }
        }
        Ok(None)
    }

    /// A QMP connection to a VM whose guest runs and has no open connections.
    fn unused(&self) -> Result<Option<Qmp>> {
        let mut qmp = Qmp::connect(&self.paths.vm_dir(), QMP_DEADLINE)?;
        let unused = qmp.status()? == RunState::Running && qmp.user_network()?.connections == 0;
        Ok(unused.then_some(qmp))
    }
}
