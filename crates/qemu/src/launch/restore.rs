//! Starts a QEMU that resumes a saved VM: it maps the RAM from its file and loads the device state.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use host::io_error::at_path;
use model::{Error, ErrorClass, EventSink, Result};

use super::early_death;
use super::error::LaunchError;
use super::start::{Launch, Launched};
use crate::machine::MemoryBackend;
use crate::port_error::ForwardError;
use crate::steps::Steps;
use crate::{Qmp, argv, read_ahead};

/// A saved VM to resume: its RAM is the file of the machine's memory backend.
#[derive(Debug)]
pub struct Restore<'a> {
    /// The start. Its machine may differ from the saved one in names, paths and ports alone. QEMU does not notice every
    /// other difference; [`crate::saved_state::CompatibilityKey`] does.
    pub launch: Launch<'a>,
    /// The file of the device state.
    pub state: &'a Path,
    /// How long QEMU may take to load it.
    pub deadline: Duration,
    /// A file of [`crate::read_ahead::write`]: the parts of the RAM to read ahead while QEMU starts. It may be missing.
    pub working_set: Option<PathBuf>,
}

impl Restore<'_> {
    /// Starts QEMU, loads the state, opens the ports, calls `paused` while the guest is paused, and resumes the guest. The
    /// guest's clock is that of the save, and all VMs that are restored from one state draw the same random numbers at first.
    ///
    /// # Errors
    /// Those of [`Launch::run`]; [`LaunchError::StateUnusable`] when a file cannot be read, the RAM file has another size
    /// than the RAM, or QEMU does not load the state (with its last lines); those of `paused`. No QEMU is left behind.
    pub fn run(
        &self,
        events: &dyn EventSink,
        paused: impl FnOnce(&mut Qmp) -> Result<()>,
    ) -> Result<Launched, LaunchError> {
        let mut steps = Steps::begin("restore", events);
        let machine = self.launch.machine;
        let MemoryBackend::File(path) = &machine.memory_backend else {
            let error = Error::new(ErrorClass::Failed, "a VM without a RAM file cannot be restored");
            return Err(LaunchError::StateUnusable(error));
        };
        let ram = machine.directory.join(path);
        check_size(&ram, machine.memory).map_err(LaunchError::StateUnusable)?;
        let state =
            File::open(self.state).map_err(|error| LaunchError::StateUnusable(at_path("read", self.state, &error)))?;
        if let Some(working_set) = &self.working_set {
            read_ahead::start(ram, working_set.clone());
        }
        let begin = std::fs::metadata(&self.launch.log).map_or(0, |log| log.len());
        let (mut launched, mut qmp) = self.launch.start(argv::waiting_arguments(machine), events)?;
        steps.done("QEMU started");
        match self.resume(&mut qmp, &state, paused, &mut steps) {
            Ok(()) => Ok(launched),
            Err(error) => {
                launched.kill();
                Err(error.map(|error| early_death::with_log(error, &self.launch.log, begin)))
            }
        }
    }

    fn resume(
        &self,
        qmp: &mut Qmp,
        state: &File,
        paused: impl FnOnce(&mut Qmp) -> Result<()>,
        steps: &mut Steps<'_>,
    ) -> Result<(), LaunchError> {
        let no_answer = |error| LaunchError::unless_interrupted(error, LaunchError::NoAnswer);
        let machine = self.launch.machine;
        qmp.prepare_migration()
            .and_then(|()| qmp.migrate_from(state.as_fd(), machine.version, self.deadline))
            .map_err(|error| error.context("the saved VM could not be loaded"))
            .map_err(|error| LaunchError::unless_interrupted(error, LaunchError::StateUnusable))?;
        steps.done("device state loaded");
        // Not when QEMU starts: the VM's clock is at zero until the state is loaded. Packets that slirp holds for the guest
        // would expire at the moment of the load, and clients that connected early would wait for TCP to retransmit.
        for forward in &machine.forwards {
            qmp.add_forward(forward).map_err(|error| match error {
                ForwardError::Taken(error) => LaunchError::PortTaken(error),
                ForwardError::Other(error) => no_answer(error),
            })?;
        }
        // What `paused` gives up cannot be had back: from here on the restore is completed.
        host::interrupt::check()?;
        let _deferred = host::interrupt::defer();
        paused(qmp)?;
        steps.done("prepared while it is paused");
        qmp.cont().map_err(no_answer)?;
        steps.done("guest resumed");
        Ok(())
    }
}

/// QEMU would create a RAM file that is missing, and the guest would run on with zeros for RAM.
fn check_size(ram: &Path, memory: u64) -> Result<()> {
    let size = std::fs::metadata(ram).map_err(|error| at_path("read", ram, &error))?.len();
    if size == memory {
        return Ok(());
    }
    Err(Error::new(ErrorClass::Host, format!("{} is not the RAM of this VM", ram.display()))
        .because(format!("it has {size} bytes, the VM has {memory}")))
}
