//! Puts a QEMU under the instance: one that boots, or one that goes on from saved RAM.
//!
//! What RAM fits which disk is decided before (`start`); what the guest then has to do is waited for after (`start`).

use std::path::{Path, PathBuf};

use host::files;
use host::identity::ProcessHandle;
use model::config::Ports;
use model::guest_image::GuestImage;
use model::port::Port;
use model::{Fault, FaultClass, Result};
use qemu::accelerator::Choice;
use qemu::console::ConsoleReader;
use qemu::template::Ingredients;
use qemu::{Launch, Launched, MemoryBackend, Qemu, Restore};

use crate::context::Context;
use crate::instance_files;
use crate::instance_ports;
use crate::keeper;
use crate::launch_fault;
use crate::machine::MachinePlan;
use crate::observe::Running;
use crate::record::{Record, Restoring};
use crate::vm_log;

/// How many times ports are chosen for a new instance, whose first ones another program may take in the meantime.
const PORT_ATTEMPTS: usize = 5;

/// The RAM and the device state that a VM begins with.
pub(crate) struct SavedRam<'a> {
    /// The RAM.
    pub(crate) ram: PathBuf,
    /// The state of the devices.
    pub(crate) state: PathBuf,
    /// What of the RAM is read ahead; it may be missing.
    pub(crate) working_set: Option<PathBuf>,
    /// What it is restored from.
    pub(crate) restoring: Restoring,
    /// Called once QEMU has taken both, right before the guest goes on: from then on they no longer fit the disk.
    pub(crate) taken: &'a dyn Fn() -> Result<()>,
}

/// A VM that is to run.
pub(crate) struct VmLaunch<'a> {
    /// Whose.
    pub(crate) context: &'a Context<'a>,
    /// What it boots; its disk, which is there, is an overlay on this image.
    pub(crate) image: &'a GuestImage,
    /// The emulator.
    pub(crate) qemu: &'a Qemu,
    /// What executes it.
    pub(crate) choice: &'a Choice,
    /// The guest's port of the web application.
    pub(crate) node_port: Port,
}

impl VmLaunch<'_> {
    /// What a saved state of this VM depends on.
    ///
    /// # Errors
    /// A fault when a file of the image or QEMU cannot be looked at.
    pub(crate) fn ingredients(&self) -> Result<Ingredients> {
        let ports = self.context.project.config.ports;
        let machine = self.plan().machine(self.context, &ports, "", MemoryBackend::Ram);
        Ingredients::of(self.qemu, &machine, &self.image.root_disk(), &distribution(self.image))
    }

    /// Whether QEMU could take it, as far as that is known before it is started.
    ///
    /// # Errors
    /// A Config fault that says what it could not take; a fault when a file of the image or QEMU cannot be looked at.
    pub(crate) fn check(&self) -> Result<()> {
        let ports = self.context.project.config.ports;
        self.plan().machine(self.context, &ports, "", MemoryBackend::Ram).check()?;
        self.ingredients().map(drop)
    }

    /// Starts it.
    ///
    /// # Errors
    /// Those of QEMU's start, with who holds a port that it wants; no QEMU is left behind.
    pub(crate) fn run(&self, saved: Option<&SavedRam<'_>>) -> Result<(Box<Running>, ConsoleReader)> {
        let context = self.context;
        vm_log::rotate(&context.paths())?;
        let are_chosen_now = instance_ports::are_to_be_chosen(context)?;
        let mut tried = vec![context.ports()?];
        loop {
            // The last one: there is always one.
            let ports = tried[tried.len() - 1];
            let launched = self.run_on(ports, saved);
            let Err(fault) = &launched else { return launched };
            if !are_chosen_now || fault.class() != FaultClass::Port || tried.len() >= PORT_ATTEMPTS {
                return launched;
            }
            let Some(others) = instance_ports::instead_of(context, &tried)? else { return launched };
            context.events.debug(format!("{fault}; other ports are tried"));
            tried.push(others);
        }
    }

    /// Starts it on these ports.
    fn run_on(&self, ports: Ports, saved: Option<&SavedRam<'_>>) -> Result<(Box<Running>, ConsoleReader)> {
        let context = self.context;
        let paths = context.paths();
        let uuid = uuid::Uuid::new_v4().to_string();
        instance_files::prepare(&paths, &context.name, &uuid, &ports)
            .and_then(|()| instance_ports::keep(context, &ports))
            .map_err(|fault| launch_fault::without_space(&paths.vm_dir(), fault))?;
        let memory = match saved {
            None => MemoryBackend::Ram,
            Some(saved) => MemoryBackend::File(saved.ram.clone()),
        };
        let machine = self.plan().machine(context, &ports, &uuid, memory);
        machine.check()?;
        let console = ConsoleReader::from_end(paths.log())?;
        let mut record = Record {
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
            image_folder: self.image.folder.clone(),
            ingredients: self.ingredients()?,
            memory: machine.memory,
        };
        keep(saved.map(|saved| saved.state.as_path()), &paths.begun_state())?;
        keep(saved.and_then(|saved| saved.working_set.as_deref()), &paths.working_set())?;
        // Before there is a process: whoever is killed during the launch leaves a VM that the next command can take over.
        record.write(&paths.record())?;
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
            if let Err(second) = files::remove(&paths.record()) {
                context.events.debug(second.to_string());
            }
        };
        let mut launched = launched.map_err(|fault| {
            forget();
            launch_fault::explain(context, fault)
        })?;
        match take_over(&mut record, &launched, &paths.record()) {
            Ok(process) => {
                keeper::beside(context);
                Ok((Box::new(Running { record, process }), console))
            }
            Err(fault) => {
                // Nobody would know of it, and its disk may be thrown away next.
                launched.kill();
                forget();
                Err(launch_fault::without_space(&paths.vm_dir(), fault))
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

/// Writes down which process it is.
fn take_over(record: &mut Record, launched: &Launched, path: &Path) -> Result<ProcessHandle> {
    let identity = launched.identity().clone();
    record.process = Some(identity.clone());
    record.restoring = None;
    record.write(path)?;
    ProcessHandle::open(&identity, &record.uuid)?
        .ok_or_else(|| Fault::new(FaultClass::Guest, "QEMU ended right after it was started").next("k3s-vm logs"))
}

/// Gives a file of the saved VM a second name: the instance keeps it when the saved VM is gone, for its own saves.
///
/// # Errors
/// A fault that names the path.
pub(crate) fn keep(file: Option<&Path>, name: &Path) -> Result<()> {
    let Some(file) = file else { return files::remove(name) };
    if file == name {
        return Ok(());
    }
    files::remove(name)?;
    if std::fs::hard_link(file, name).is_err() {
        // A filesystem without hard links, or nothing to keep; without it a save or a resume takes longer.
        let _ = std::fs::copy(file, name);
    }
    Ok(())
}

/// What runs in the guest, without the reason for it: `kubernetes v1.37.2`.
pub(crate) fn distribution(image: &GuestImage) -> String {
    format!("{} {}", image.manifest.distribution, image.manifest.kubernetes_version)
}
