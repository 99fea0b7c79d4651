//! Starts a QEMU that goes on where a saved VM stood: RAM mapped from its file, device state read, guest let go.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use host::io_error::at_path;
use model::{Error, ErrorClass, EventSink, Result};

use super::{Launch, Launched, early_death};
use crate::machine::MemoryBackend;
use crate::steps::Steps;
use crate::{Qmp, argv, read_ahead};

/// A restore: a start whose machine has its RAM in the saved file, and the device state.
#[derive(Debug)]
pub struct Restore<'a> {
    /// The start. Its machine must be the saved one but for names, paths and ports: QEMU does not notice every difference ([`crate::saved_state::CompatibilityKey`] does).
    pub launch: Launch<'a>,
    /// The device state.
    pub state: &'a Path,
    /// How long QEMU may take to read it.
    pub deadline: Duration,
    /// What of the RAM is read ahead, while QEMU starts: a file of [`crate::read_ahead::write`]. One that is not there
    /// is as good as none.
    pub working_set: Option<PathBuf>,
}

impl Restore<'_> {
    /// Starts QEMU, reads the state, opens the ports, calls `paused` while the guest stands still, and lets the guest go
    /// on. The clock of the guest is that of the save, and every VM restored from one state has the same random numbers ahead.
    ///
    /// # Errors
    /// Those of [`Launch::run`]; Host when a file cannot be read or the RAM file is not as large as the RAM; Guest with
    /// QEMU's last lines when it does not take the state; Timeout; those of `paused`. No QEMU is left behind.
    pub fn run(&self, events: &dyn EventSink, paused: impl FnOnce(&mut Qmp) -> Result<()>) -> Result<Launched> {
        let mut steps = Steps::begin("restore", events);
        let machine = self.launch.machine;
        let MemoryBackend::File(path) = &machine.memory_backend else {
            return Err(Error::new(ErrorClass::Failed, "a VM without a RAM file cannot be restored"));
        };
        let ram = machine.directory.join(path);
        check_size(&ram, machine.memory)?;
        let state = File::open(self.state).map_err(|error| at_path("read", self.state, &error))?;
        if let Some(working_set) = &self.working_set {
            read_ahead::start(ram, working_set.clone());
        }
        let begin = std::fs::metadata(&self.launch.log).map_or(0, |log| log.len());
        let (mut launched, mut qmp) = self.launch.start(argv::waiting_arguments(machine), events)?;
        steps.done("QEMU started");
        let restored = self.load(&mut qmp, &state, &mut steps).and_then(|()| {
            // Not at QEMU's start: until the state is loaded the VM's clock stands at zero, so that what slirp holds for the
            // guest would be too old the moment it is loaded, and whoever connected waits for TCP to try again.
            machine.forwards.iter().try_for_each(|forward| qmp.add_forward(forward))?;
            // What `paused` does away with, only this VM has from now on.
            host::interrupt::check()?;
            let _deferred = host::interrupt::defer();
            paused(&mut qmp)?;
            steps.done("prepared while it stands still");
            qmp.cont()
        });
        match restored {
            Ok(()) => {
                steps.done("guest goes on");
                Ok(launched)
            }
            Err(error) => {
                launched.kill();
                Err(early_death::with_log(error, &self.launch.log, begin))
            }
        }
    }

    fn load(&self, qmp: &mut Qmp, state: &File, steps: &mut Steps<'_>) -> Result<()> {
        let version = self.launch.machine.version;
        qmp.prepare_migration()
            .and_then(|()| qmp.migrate_from(state.as_fd(), version, self.deadline))
            .map_err(|error| error.context("the saved VM could not be loaded"))?;
        steps.done("device state loaded");
        Ok(())
    }
}

/// A RAM file that is missing would be made by QEMU, and the guest would go on with zeros for RAM.
fn check_size(ram: &Path, memory: u64) -> Result<()> {
    let size = std::fs::metadata(ram).map_err(|error| at_path("read", ram, &error))?.len();
    if size == memory {
        return Ok(());
    }
    Err(Error::new(ErrorClass::Host, format!("{} is no RAM of this VM", ram.display()))
        .because(format!("it has {size} bytes, the VM has {memory}")))
}
