//! `start`: from whatever is there to a Ready cluster with the project's application on it.

mod arrival;
mod begin;
mod fallback;
mod preparation;
mod step_count;

use std::time::Duration;

use host::deadline::Deadline;
use model::port::Port;
use model::{Error, ErrorClass, Result};
use qemu::accelerator::Choice;
use qemu::console::ConsoleReader;
use serde::Serialize;

use crate::apply::images;
use crate::apply::{self, ApplyReport};
use crate::context::Context;
use crate::fork::warm_pool;
use crate::instance::accelerator;
use crate::instance::lock;
use crate::instance::observe::{Observed, Running, observe};
use crate::instance::wait::services::ServicesState;
use crate::instance::wait::watch::GuestWatch;
use crate::project::desired::Desired;
use crate::project::web_port;
use crate::saved_vm::cluster::SavedCluster;
use crate::saved_vm::template::SavedVm;
use crate::steps::Steps;
use crate::supervisor;
use arrival::{Arrival, Arrived};
pub use begin::From;
use begin::{Begin, Begun, Wanted};
pub(crate) use preparation::{configured_image, kept_application};

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
    /// What it began from.
    pub from: From,
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
    /// `http://127.0.0.1:30080`.
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
    /// Whether the cluster was waited for and has proved to be ours.
    pub ready: bool,
    /// Whether the cluster's Services answer: `answer`, which do not, or why that is not known; nothing when nobody
    /// waited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub services_state: Option<ServicesState>,
    /// What was applied; nothing when nobody waited, and to a snapshot.
    pub apply: Option<ApplyReport>,
}

/// Starts the instance, or verifies and refreshes it when it runs.
///
/// # Errors
/// An error of any step; a VM that was started goes on running, so that the next start goes on where this one ended.
pub fn run(context: &Context<'_>, options: StartOptions) -> Result<StartReport> {
    let report = {
        let _lock = lock::of_new(context)?;
        run_locked(context, options, &Beginning::AsItIs)?
    };
    warm_pool::refill(context);
    Ok(report)
}

/// What a start begins with.
pub(crate) enum Beginning<'a> {
    /// Whatever is there.
    AsItIs,
    /// Nothing: once everything for a new instance is there, the old one is destroyed, which gives the step's fact.
    Anew {
        /// Whether the guest image is built anew, too.
        rebuild: bool,
        /// Destroys the old one.
        destroy: &'a dyn Fn() -> Result<String>,
    },
    /// A saved VM, as which the instance goes on; nothing is applied to it.
    Saved {
        /// The saved VM.
        saved_vm: &'a SavedVm,
        /// Destroys what is there, if anything is.
        destroy: Option<&'a dyn Fn() -> Result<String>>,
    },
}

impl Beginning<'_> {
    fn destroy(&self) -> Option<&dyn Fn() -> Result<String>> {
        match self {
            Beginning::AsItIs => None,
            Beginning::Anew { destroy, .. } => Some(destroy),
            Beginning::Saved { destroy, .. } => *destroy,
        }
    }
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
    apply::check_web(context)?;
    images::sources::check(context.project.paths.root(), &context.project.config.images)?;
    // A mistake in a manifest is told now, not after a minute of booting.
    let desired = Desired::read_for_instance(context)?;
    let node_port = node_port(context, &desired)?;
    let observed = match beginning {
        Beginning::AsItIs => observe(context)?,
        Beginning::Anew { .. } | Beginning::Saved { .. } => Observed::Absent,
    };
    let choosing = accelerator::is_open(context, &observed);
    let rebuild = matches!(beginning, Beginning::Anew { rebuild: true, .. });
    let saved = match beginning {
        Beginning::Saved { saved_vm, .. } => Some(*saved_vm),
        _ => None,
    };
    let before = u32::from(beginning.destroy().is_some()) + u32::from(choosing);
    let coming = step_count::likely(context, &observed, options.wait, rebuild, saved.is_some());
    let steps = &mut Steps::new(context.events, before + 2 + coming);
    steps.run("Checking the host", || preparation::check_host(context, &observed, rebuild))?;
    // Held until the VM runs and all is noted that would keep it.
    let (image, _held) =
        steps.run("Preparing the guest image", || preparation::guest_image(context, &observed, rebuild, saved))?;
    // Before anything is destroyed: who wants KVM and nothing else keeps the old instance where there is none.
    let choice = if choosing {
        steps.run("Choosing the accelerator", || accelerator::choose(context, &image))?
    } else {
        Choice::ordered_tcg()
    };
    let begin = Begin::new(
        context,
        &observed,
        Wanted { desired: &desired, image: &image, choice: &choice, node_port, rebuild, saved },
    )?;
    if let Some(destroy) = beginning.destroy() {
        begin.destroy(destroy, steps)?;
    }
    let deadline = Deadline::after(options.timeout.unwrap_or(context.project.config.timeouts.start));
    let mut begun = begin.run(observed, options.wait, steps)?;
    loop {
        let Begun { running, console, from, cluster, saved_vm } = begun;
        if from == From::Running {
            supervisor::spawn::ensure(context);
        }
        if !options.wait {
            return Ok(report(context, &running, from, None));
        }
        let (cluster, saved_vm) = (cluster.as_ref(), saved_vm.as_ref());
        let arrival = Arrival {
            context,
            desired: &desired,
            image: &image,
            deadline,
            running: &running,
            from,
            cluster,
            saved_vm: saved_vm,
        };
        match arrival.run(console, steps)? {
            Arrived::Ready(applied, services) => {
                let report = report(context, &running, from, Some(applied));
                return Ok(StartReport { services_state: Some(services), ..report });
            }
            Arrived::Asleep(why) => begun = begin.instead(&running, from, saved_vm, &why, steps)?,
        }
    }
}

/// The port of the guest behind which the application listens.
fn node_port(context: &Context<'_>, desired: &Desired) -> Result<Port> {
    let config = &context.project.config;
    web_port::node_port(config.ports.web, config.web_service.as_ref(), desired.objects())
}

/// A VM that stood still, and whose guest has just been let go on, becomes useful.
///
/// # Errors
/// State where its cluster was never Ready; Timeout and Guest errors of the wait.
pub(crate) fn awaken(context: &Context<'_>, running: &Running) -> Result<StartReport> {
    let paths = context.paths();
    let cluster = SavedCluster::read(&paths.cluster())
        .map_err(|why| Error::new(ErrorClass::State, "its cluster was never Ready").because(why))?;
    let console = ConsoleReader::from_end(paths.log())?;
    let watch = &mut GuestWatch::new(&running.process, console, &paths, context.events);
    let deadline = Deadline::after(context.project.config.timeouts.start);
    arrival::wake(context, running, watch, &cluster, deadline)?;
    Ok(report(context, running, From::Running, Some(None)))
}

fn report(
    context: &Context<'_>,
    running: &Running,
    from: From,
    // Nothing where nobody waited.
    applied: Option<Option<ApplyReport>>,
) -> StartReport {
    let state_file = &running.state_file;
    let ports = state_file.ports();
    StartReport {
        instance: context.name.to_string(),
        was_running: from == From::Running,
        from,
        pid: running.process.pid(),
        accelerator: state_file.accelerator.clone(),
        accelerator_reason: state_file.accelerator_reason.clone(),
        distribution: state_file.distribution.clone(),
        api: ports.api_url(),
        web: ports.web_url(),
        kubeconfig: context.kubeconfig().display().to_string(),
        context: context.name.to_string(),
        variables: context.project.web().dot_env().display().to_string(),
        ssh_port: ports.ssh.number(),
        log: context.paths().log().display().to_string(),
        ready: applied.is_some(),
        services_state: None,
        apply: applied.flatten(),
    }
}
