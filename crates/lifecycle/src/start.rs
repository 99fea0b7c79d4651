//! `start`: from whatever is there to a Ready cluster with the project's application on it.

use std::time::Duration;

use cluster::Kubeconfig;
use host::files;
use host::identity::ProcessHandle;
use host::packages::{self, Requirement};
use image::ImageRequest;
use model::guest_image::GuestImage;
use model::port::Port;
use model::{Fault, FaultClass, Result};
use qemu::accelerator::Choice;
use qemu::console::ConsoleReader;
use qemu::{Launch, MemoryBackend, Qemu};
use serde::Serialize;

use crate::accelerator;
use crate::apply::{self, ApplyReport};
use crate::context::Context;
use crate::disk;
use crate::guest_watch::GuestWatch;
use crate::instance_files;
use crate::instance_ports;
use crate::launch_fault;
use crate::machine::MachinePlan;
use crate::observe::{Observed, Running, observe, unexpected_end};
use crate::phases::{Outcome, Phases};
use crate::readiness;
use crate::record::Record;
use crate::vm_log;
use crate::web_port;
use host::deadline::Deadline;

/// The phases of a start that waits.
const PHASES: u32 = 8;
/// How long QEMU itself may take until it answers: it reads kernel and initrd, and opens the disk.
const LAUNCH_DEADLINE: Duration = Duration::from_secs(60);

/// ssh and the tool that makes its keys.
const SSH: [Requirement; 2] = [
    Requirement {
        program: "ssh",
        apt: "openssh-client",
        dnf: "openssh-clients",
        pacman: "openssh",
        purpose: "opens a shell in the VM",
    },
    Requirement {
        program: "ssh-keygen",
        apt: "openssh-client",
        dnf: "openssh-clients",
        pacman: "openssh",
        purpose: "makes the VM's keys",
    },
];

/// The phases of a start that does not.
const PHASES_WITHOUT_WAIT: u32 = 3;

/// How to start.
#[derive(Debug, Clone, Copy)]
pub struct StartOptions {
    /// Whether to wait for the cluster and the application; otherwise it is over once QEMU runs.
    pub wait: bool,
    /// Instead of the configured deadline.
    pub timeout: Option<Duration>,
}

/// What is there after a start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StartReport {
    /// The instance.
    pub instance: String,
    /// Whether it ran before.
    pub was_running: bool,
    /// The pid of QEMU.
    pub pid: u32,
    /// `tcg` or `kvm`.
    pub accelerator: String,
    /// Why not KVM, where that was wanted: "KVM: guests hang on this host".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accelerator_reason: Option<String>,
    /// `kubernetes v1.37.2`.
    pub distribution: String,
    /// `https://127.0.0.1:6443`.
    pub api: String,
    /// `http://localhost:30080`.
    pub web: String,
    /// The kubeconfig on the host.
    pub kubeconfig: String,
    /// The context in it.
    pub context: String,
    /// The web application's variables on the host.
    pub variables: String,
    /// The host's port of the guest's sshd.
    pub ssh_port: u16,
    /// The log.
    pub log: String,
    /// What was applied; nothing when nobody waited.
    pub apply: Option<ApplyReport>,
}

/// Starts the instance, or verifies and refreshes it when it runs.
///
/// # Errors
/// A fault of any phase; a VM that was started goes on running, so that the next start goes on where this one ended.
pub fn run(context: &Context<'_>, options: StartOptions) -> Result<StartReport> {
    let _lock = context.lock()?;
    run_locked(context, options, &Beginning::AsItIs)
}

/// What a start begins with.
pub(crate) enum Beginning<'a> {
    /// Whatever is there.
    AsItIs,
    /// Nothing: once everything for a new instance is there, the old one is destroyed, which gives the phase's fact.
    Anew {
        /// Whether the guest image is built anew, too.
        rebuild: bool,
        /// Destroys the old one.
        destroy: &'a dyn Fn() -> Result<String>,
    },
}

/// As [`run`], with the lock held.
///
/// # Errors
/// As [`run`].
pub(crate) fn run_locked(
    context: &Context<'_>,
    options: StartOptions,
    beginning: &Beginning<'_>,
) -> Result<StartReport> {
    let waiting = if options.wait { PHASES } else { PHASES_WITHOUT_WAIT };
    let destroying = u32::from(matches!(beginning, Beginning::Anew { .. }));
    let paths = context.paths();
    apply::check_web(context)?;
    // A mistake in a manifest is told now, not after a minute of booting.
    let node_port = {
        let config = &context.project.config;
        web_port::node_port(config.ports.web, config.web_service.as_ref(), &apply::read_manifests(context)?)?
    };
    let observed = match beginning {
        Beginning::AsItIs => observe(context)?,
        Beginning::Anew { .. } => Observed::Absent,
    };
    let was_running = matches!(observed, Observed::Running(_));
    let choosing = accelerator::is_open(context, &observed);
    let phases = &mut Phases::new(context.events, waiting + destroying + u32::from(choosing));
    let rebuild = matches!(beginning, Beginning::Anew { rebuild: true, .. });
    phases.run("Checking the host", || check_host(context, &observed, rebuild))?;
    let image = phases.run("Preparing the guest image", || guest_image(context, &observed, rebuild))?;
    // Before anything is destroyed: who wants KVM and nothing else keeps the old instance where there is none.
    let choice = if choosing {
        phases.run("Choosing the accelerator", || accelerator::choose(context, &image))?
    } else {
        Choice::ordered_tcg()
    };
    if let Beginning::Anew { destroy, .. } = beginning {
        phases.run("Destroying the old instance", || Ok(Outcome::Done((), destroy()?)))?;
    }
    let deadline = Deadline::after(options.timeout.unwrap_or(context.project.config.timeouts.start));
    let (running, console) = phases.run("Starting the VM", || launch(context, observed, &image, &choice, node_port))?;
    let ports = running.record.ports();
    let report = |applied| StartReport {
        instance: context.name.to_string(),
        was_running,
        pid: running.process.pid(),
        accelerator: running.record.accelerator.clone(),
        accelerator_reason: running.record.accelerator_reason.clone(),
        distribution: image.describe(),
        api: format!("https://{}", std::net::SocketAddr::new(readiness::reach(ports.bind), ports.api.number())),
        web: format!("http://localhost:{}", ports.web),
        kubeconfig: context.kubeconfig().display().to_string(),
        context: context.name.to_string(),
        variables: context.project.web().dot_env().display().to_string(),
        ssh_port: ports.ssh.number(),
        log: paths.log().display().to_string(),
        apply: applied,
    };
    if !options.wait {
        return Ok(report(None));
    }
    let mut watch = GuestWatch::new(&running.process, console, &paths, context.events);
    let admin: Kubeconfig = phases.run("Booting the guest", || {
        let admin = readiness::admin_kubeconfig(&mut watch, &paths, &image.manifest, deadline)?;
        if was_running {
            readiness::set_clock(&paths, context.events);
        }
        Ok(Outcome::Done(admin, image.manifest.operating_system.clone()))
    })?;
    let access = phases.run("Waiting for Kubernetes", || {
        let access = readiness::api(&mut watch, &context.name, &ports, &admin, deadline)?;
        let version = readiness::node(&mut watch, &access, &image.manifest.node_name, deadline)?;
        readiness::ssh(&mut watch, &paths, deadline)?;
        apply::write_web(context, &access)?;
        Ok(Outcome::Done(access, format!("node {} is Ready ({version})", image.manifest.node_name)))
    })?;
    let settings = apply::Settings { required: false, ..apply::Settings::default() };
    let applied = apply::deploy(context, phases, &mut watch, &access, Some(ports), settings, deadline)?;
    Ok(report(Some(applied)))
}

/// Installs what the rest of the verb needs.
fn check_host(context: &Context<'_>, observed: &Observed, rebuild: bool) -> Result<Outcome<()>> {
    let mut requirements: Vec<Requirement> = SSH.to_vec();
    if !matches!(observed, Observed::Running(_)) {
        requirements.extend([qemu::version::QEMU_SYSTEM, qemu::version::QEMU_IMG]);
    }
    if matches!(observed, Observed::Absent) {
        requirements.extend(image::requirements(&image_request(context), rebuild)?);
    }
    packages::ensure(&requirements, context.consent, context.events)?;
    Ok(Outcome::Done((), "all tools are there".to_owned()))
}

fn image_request<'a>(context: &'a Context<'_>) -> ImageRequest<'a> {
    ImageRequest {
        config: &context.project.config.image,
        k3s: &context.project.config.k3s,
        project: context.project.paths.root(),
        sources: &context.guest_sources,
        cache: &context.cache,
        deadline: context.project.config.timeouts.build,
        consent: context.consent,
        events: context.events,
    }
}

/// The image of the instance: that of its disk where there is one, since a disk and its kernel belong together; the
/// configured one for a new disk.
fn guest_image(context: &Context<'_>, observed: &Observed, rebuild: bool) -> Result<Outcome<GuestImage>> {
    let request = image_request(context);
    let image = match observed {
        Observed::Absent if rebuild => {
            let image = image::rebuild(&request)?;
            let fact = format!("{}, built anew", image.describe());
            return Ok(Outcome::Done(image, fact));
        }
        Observed::Absent => {
            let known = image::locate(&request)?;
            let was_there = known.is_some();
            let image = known.map_or_else(|| image::ensure(&request), Ok)?;
            let fact = image.describe();
            return Ok(if was_there {
                Outcome::Skipped(image, format!("{fact}, built before"))
            } else {
                Outcome::Done(image, fact)
            });
        }
        Observed::Running(running) => image::open(&running.record.image_folder, &context.cache)?,
        Observed::Stopped | Observed::Orphan(_) => disk::guest_image(context)?,
    };
    let image = match image::locate(&request) {
        // The same, with the reason for its distribution.
        Ok(Some(configured)) if configured.fingerprint == image.fingerprint => configured,
        Ok(_) => {
            context.events.note(
                "the guest image has changed since this instance's disk was made; `k3s-vm reset` makes a new disk from it"
                    .to_owned(),
            );
            image
        }
        // What a new disk would need is no obstacle for the one that is there.
        Err(fault) => {
            context.events.warning(format!("the next `k3s-vm reset` will fail: {fault}"));
            image
        }
    };
    let fact = format!("{}, as the instance's disk has it", image.describe());
    Ok(Outcome::Skipped(image, fact))
}

/// Starts QEMU, or takes the one that runs.
fn launch(
    context: &Context<'_>,
    observed: Observed,
    image: &GuestImage,
    choice: &Choice,
    node_port: Port,
) -> Result<Outcome<(Box<Running>, ConsoleReader)>> {
    let paths = context.paths();
    match observed {
        Observed::Running(running) => {
            let wanted = context.ports()?;
            if running.record.ports() != wanted {
                context.events.note("changed ports take effect after `k3s-vm stop` and `k3s-vm start`".to_owned());
            }
            instance_files::follow_folder(&paths, &running.record.ports())?;
            let fact = format!("it runs already, pid {}", running.process.pid());
            return Ok(Outcome::Skipped((running, ConsoleReader::from_end(paths.log())?), fact));
        }
        Observed::Orphan(process) => {
            return Err(Fault::new(
                FaultClass::State,
                format!("pid {} is a QEMU of this instance that lost its record", process.pid()),
            )
            .because("its state cannot be known")
            .next("k3s-vm stop     # powers it off; data are kept")
            .next("k3s-vm reset    # destroys it and starts anew"));
        }
        Observed::Stopped | Observed::Absent => {}
    }
    if let Some(end) = unexpected_end(context)? {
        context.events.note(format!("{end}; its disk is used as it is"));
    }
    let qemu = Qemu::find()?;
    let uuid = uuid::Uuid::new_v4().to_string();
    let ports = context.ports()?;
    instance_files::prepare(&paths, &context.name, &uuid, &ports)
        .and_then(|()| instance_ports::keep(context, &ports))
        .map_err(|fault| launch_fault::without_space(&paths.vm_dir(), fault))?;
    if paths.disk().exists() {
        disk::settle(context)?;
    } else {
        disk::make(&paths, image)?;
    }
    vm_log::rotate(&paths)?;
    let plan = MachinePlan { image, qemu: &qemu, accelerator: choice.accelerator, node_port };
    let machine = plan.machine(context, &ports, &uuid, MemoryBackend::Ram);
    machine.check()?;
    let console = ConsoleReader::from_end(paths.log())?;
    let mut record = Record {
        process: None,
        uuid,
        qemu: qemu.version.to_string(),
        accelerator: machine.accelerator.name().to_owned(),
        accelerator_reason: choice.reason.clone(),
        bind: ports.bind,
        api_port: ports.api,
        ssh_port: ports.ssh,
        web_port: ports.web,
        distribution: image.describe(),
        image: image.fingerprint.clone(),
        image_folder: image.folder.clone(),
    };
    // Before there is a process: whoever is killed during the launch leaves a VM that the next command can take over.
    record.write(&paths.record())?;
    let launch = Launch { qemu: &qemu, machine: &machine, log: paths.log(), deadline: LAUNCH_DEADLINE };
    let launched = launch.run(context.events).map_err(|fault| {
        if let Err(second) = files::remove(&paths.record()) {
            context.events.debug(second.to_string());
        }
        launch_fault::explain(context, fault)
    })?;
    let identity = launched.identity().clone();
    record.process = Some(identity.clone());
    record.write(&paths.record())?;
    let process = ProcessHandle::open(&identity, &record.uuid)?
        .ok_or_else(|| Fault::new(FaultClass::Guest, "QEMU ended right after it was started").next("k3s-vm logs"))?;
    let fact = format!("QEMU {} under {choice}, pid {}", qemu.version, process.pid());
    Ok(Outcome::Done((Box::new(Running { record, process }), console), fact))
}
