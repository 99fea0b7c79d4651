//! Launches the QEMU of an instance, which boots, or resumes with saved RAM.
//!
//! `start` decides before whether RAM fits the disk, and waits afterwards for the guest.

use std::path::{Path, PathBuf};

use host::files;
use host::identity::ProcessHandle;
use model::config::Ports;
use model::guest_image::GuestImage;
use model::port::Port;
use model::{Error, ErrorClass, Result};
use qemu::accelerator::Choice;
use qemu::console::ConsoleReader;
use qemu::saved_state::CompatibilityKey;
use qemu::{Launch, LaunchError, Launched, MemoryBackend, Qemu, Restore};

use crate::context::Context;
use crate::instance;
use crate::instance::launch_error;
use crate::instance::machine::MachinePlan;
use crate::instance::observe::Running;
use crate::instance::ports;
use crate::instance::state_file::{Restoring, StateFile};
use crate::instance::supervisor_process;
use crate::instance::vm_log;

/// How many times ports are chosen for a new instance. Another program may take them in the meantime.
const PORT_ATTEMPTS: usize = 5;

/// The RAM and the device state that a VM is launched with.
pub(crate) struct SavedRam<'a> {
    /// The file of the RAM.
    pub(crate) ram: PathBuf,
    /// The file of the device state.
    pub(crate) state: PathBuf,
    /// The file that says which RAM to read ahead; it may be missing.
    pub(crate) working_set: Option<PathBuf>,
    /// What it is restored from.
    pub(crate) restoring: Restoring,
    /// Called once QEMU has read both, right before the guest resumes: from then on they no longer fit the disk.
    pub(crate) taken: &'a dyn Fn() -> Result<()>,
}

/// A VM to launch.
pub(crate) struct VmLaunch<'a> {
    /// The instance.
    pub(crate) context: &'a Context<'a>,
    /// The guest image that it boots. Its disk, which exists, is an overlay on this image.
    pub(crate) image: &'a GuestImage,
    /// The emulator.
    pub(crate) qemu: &'a Qemu,
    /// The accelerator.
    pub(crate) choice: &'a Choice,
    /// The guest's port of the web application.
    pub(crate) node_port: Port,
}

impl VmLaunch<'_> {
    /// The compatibility key of this VM.
    ///
    /// # Errors
    /// An error when a file of the image or QEMU cannot be looked at.
    pub(crate) fn compatibility_key(&self) -> Result<CompatibilityKey> {
        let ports = self.context.project.config.ports;
        let machine = self.plan().machine(self.context, &ports, "", MemoryBackend::Ram);
        CompatibilityKey::of(self.qemu, &machine, &self.image.root_disk(), &distribution(self.image))
    }

    /// Whether QEMU accepts this machine, as far as that is known before it is started.
    ///
    /// # Errors
    /// A Config error that says what QEMU would not accept; an error when a file of the image or QEMU cannot be looked at.
    pub(crate) fn check(&self) -> Result<()> {
        let ports = self.context.project.config.ports;
        self.plan().machine(self.context, &ports, "", MemoryBackend::Ram).check()?;
        self.compatibility_key().map(drop)
    }

    /// Launches it, with the `saved` RAM or booting.
    ///
    /// # Errors
    /// Those of QEMU's launch, with the holder of a port that it wants. No QEMU is left behind.
    pub(crate) fn run(&self, saved: Option<&SavedRam<'_>>) -> Result<(Box<Running>, ConsoleReader)> {
        Ok(self.launch(saved)?)
    }

    /// [`VmLaunch::run`] for callers that need to know whether a boot from the disk may succeed instead.
    pub(crate) fn launch(&self, saved: Option<&SavedRam<'_>>) -> Result<(Box<Running>, ConsoleReader), LaunchError> {
        let context = self.context;
        vm_log::rotate(&context.paths())?;
        let are_chosen_now = ports::are_to_be_chosen(context)?;
        let mut tried = vec![ports::of(context)?];
        loop {
            // There is always a last one.
            let ports = tried[tried.len() - 1];
            let launched = self.run_on(ports, saved);
            let Err(LaunchError::PortTaken(error)) = &launched else { return launched };
            if !are_chosen_now || tried.len() >= PORT_ATTEMPTS {
                return launched;
            }
            let Some(others) = ports::instead_of(context, &tried)? else { return launched };
            context.events.debug(format!("{error}; trying other ports"));
            tried.push(others);
        }
    }

    /// Launches it on these ports.
    fn run_on(&self, ports: Ports, saved: Option<&SavedRam<'_>>) -> Result<(Box<Running>, ConsoleReader), LaunchError> {
        let context = self.context;
        let paths = context.paths();
        let uuid = uuid::Uuid::new_v4().to_string();
        instance::files::prepare(&paths, &context.name, &uuid, &ports)
            .and_then(|()| ports::save(context, &ports))
            .map_err(|error| launch_error::without_space(&paths.vm_dir(), error))?;
        let memory = match saved {
            None => MemoryBackend::Ram,
            Some(saved) => MemoryBackend::File(saved.ram.clone()),
        };
        let machine = self.plan().machine(context, &ports, &uuid, memory);
        machine.check()?;
        let console = ConsoleReader::from_end(paths.log())?;
        let mut state_file = StateFile {
            restoring: saved.map(|saved| saved.restoring),
            process: None,
            uuid,
            qemu: self.qemu.version.to_string(),
            accelerator: machine.accelerator.name().to_owned(),
            accelerator_reason: self.choice.reason.clone(),
            bind: ports.bind,
            api_port: ports.api,
            ssh_port: ports.ssh,
            web_port: ports.web,
            distribution: self.image.describe(),
            image: self.image.fingerprint.clone(),
            image_directory: self.image.directory.clone(),
            compatibility_key: self.compatibility_key()?,
            memory: machine.memory,
        };
        give_name(saved.map(|saved| saved.state.as_path()), &paths.begun_state())?;
        give_name(saved.and_then(|saved| saved.working_set.as_deref()), &paths.working_set())?;
        // Before there is a process: after a kill during the launch, the next command can take over the VM.
        state_file.write(&paths.state_file())?;
        let timeouts = &context.project.config.timeouts;
        let launch = Launch { qemu: self.qemu, machine: &machine, log: paths.log(), deadline: timeouts.start };
        let launched = match saved {
            None => launch.run(context.events),
            Some(saved) => Restore {
                launch,
                state: &saved.state,
                deadline: timeouts.restore,
                working_set: saved.working_set.clone(),
            }
            .run(context.events, |_| (saved.taken)()),
        };
        let forget = || {
            if let Err(second) = files::remove(&paths.state_file()) {
                context.events.debug(second.to_string());
            }
        };
        let mut launched = launched.map_err(|error| {
            forget();
            launch_error::explain(context, error)
        })?;
        match take_over(&mut state_file, &launched, &paths.state_file()) {
            Ok(process) => {
                supervisor_process::beside(context);
                Ok((Box::new(Running { state_file, process }), console))
            }
            Err(error) => {
                // Nothing would lead to it, and its disk may be removed next.
                launched.kill();
                forget();
                Err(error.map(|error| launch_error::without_space(&paths.vm_dir(), error)))
            }
        }
    }

    fn plan(&self) -> MachinePlan<'_> {
        MachinePlan {
            image: self.image,
            qemu: self.qemu,
            accelerator: self.choice.accelerator,
            node_port: self.node_port,
        }
    }
}

/// Writes the process into the state file.
fn take_over(state_file: &mut StateFile, launched: &Launched, path: &Path) -> Result<ProcessHandle, LaunchError> {
    let identity = launched.identity().clone();
    state_file.process = Some(identity.clone());
    state_file.restoring = None;
    state_file.write(path)?;
    ProcessHandle::open(&identity, &state_file.uuid)?.ok_or_else(|| {
        LaunchError::Died(Error::new(ErrorClass::Guest, "QEMU ended right after it was started").next("k3s-vm logs"))
    })
}

/// As [`link_or_copy`]; without a `file`, `name` is removed.
fn give_name(file: Option<&Path>, name: &Path) -> Result<()> {
    match file {
        Some(file) => link_or_copy(file, name),
        None => files::remove(name),
    }
}

/// Gives a file of a saved VM the second name `name`, so that the instance has it for its own saves when the saved VM is
/// removed. A missing `file` is no error: without it a save or a resume takes longer.
///
/// # Errors
/// An error that names the path.
pub(crate) fn link_or_copy(file: &Path, name: &Path) -> Result<()> {
    if file == name {
        return Ok(());
    }
    files::remove(name)?;
    if std::fs::hard_link(file, name).is_err() {
        // The filesystem has no hard links, or the file is missing.
        let _ = std::fs::copy(file, name);
    }
    Ok(())
}

/// Distribution and version of the guest image: `kubernetes v1.37.2`.
pub(crate) fn distribution(image: &GuestImage) -> String {
    format!("{} {}", image.manifest.distribution, image.manifest.kubernetes_version)
}
