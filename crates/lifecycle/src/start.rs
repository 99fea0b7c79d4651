//! `start`: from whatever is there to a Ready cluster with the project's application on it.

mod arrival;
mod begin;
mod fallback;
mod phase_count;
mod preparation;

use std::time::Duration;

use host::deadline::Deadline;
use model::port::Port;
use model::{Fault, FaultClass, Result};
use qemu::accelerator::Choice;
use qemu::console::ConsoleReader;
use serde::Serialize;

use crate::accelerator;
use crate::apply::{self, ApplyReport};
use crate::context::Context;
use crate::desired::Desired;
use crate::guest_watch::GuestWatch;
use crate::images;
use crate::instance_lock;
use crate::keeper;
use crate::observe::{Observed, Running, observe};
use crate::phases::Phases;
use crate::pool;
use crate::saved::SavedCluster;
use crate::services::ServicesState;
use crate::template::Base;
use crate::web_port;
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
    /// Whether the cluster's Services answer: `answer`, which do not, or why that is not known; nothing when nobody waited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub services_state: Option<ServicesState>,
    /// What was applied; nothing when nobody waited, and to a snapshot.
    pub apply: Option<ApplyReport>,
}

/// Starts the instance, or verifies and refreshes it when it runs.
///
/// # Errors
/// A fault of any phase; a VM that was started goes on running, so that the next start goes on where this one ended.
pub fn run(context: &Context<'_>, options: StartOptions) -> Result<StartReport> {
    let report = {
        let _lock = instance_lock::of_new(context)?;
        run_locked(context, options, &Beginning::AsItIs)?
    };
    pool::refill(context);
    Ok(report)
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
    /// A saved VM, as which the instance goes on; nothing is applied to it.
    Saved {
        /// The saved VM.
        base: &'a Base,
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
        Beginning::Saved { base, .. } => Some(*base),
        _ => None,
    };
    let before = u32::from(beginning.destroy().is_some()) + u32::from(choosing);
    let coming = phase_count::likely(context, &observed, options.wait, rebuild, saved.is_some());
    let phases = &mut Phases::new(context.events, before + 2 + coming);
    phases.run("Checking the host", || preparation::check_host(context, &observed, rebuild))?;
    // Held until the VM runs and all is noted that would keep it.
    let (image, _held) =
        phases.run("Preparing the guest image", || preparation::guest_image(context, &observed, rebuild, saved))?;
    // Before anything is destroyed: who wants KVM and nothing else keeps the old instance where there is none.
    let choice = if choosing {
        phases.run("Choosing the accelerator", || accelerator::choose(context, &image))?
    } else {
        Choice::ordered_tcg()
    };
    let begin = Begin::new(
        context,
        &observed,
        Wanted { desired: &desired, image: &image, choice: &choice, node_port, rebuild, saved },
    )?;
    if let Some(destroy) = beginning.destroy() {
        begin.destroy(destroy, phases)?;
    }
    let deadline = Deadline::after(options.timeout.unwrap_or(context.project.config.timeouts.start));
    let mut begun = begin.run(observed, options.wait, phases)?;
    loop {
        let Begun { running, console, from, cluster, base } = begun;
        if from == From::Running {
            keeper::ensure(context);
        }
        if !options.wait {
            return Ok(report(context, &running, from, None));
        }
        let (cluster, saved_vm) = (cluster.as_ref(), base.as_ref());
        let arrival = Arrival {
            context,
            desired: &desired,
            image: &image,
            deadline,
            running: &running,
            from,
            cluster,
            base: saved_vm,
        };
        match arrival.run(console, phases)? {
            Arrived::Ready(applied, services) => {
                let report = report(context, &running, from, Some(applied));
                return Ok(StartReport { services_state: Some(services), ..report });
            }
            Arrived::Asleep(why) => begun = begin.instead(&running, from, saved_vm, &why, phases)?,
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
/// State where its cluster was never Ready; Timeout and Guest faults of the wait.
pub(crate) fn awaken(context: &Context<'_>, running: &Running) -> Result<StartReport> {
    let paths = context.paths();
    let cluster = SavedCluster::read(&paths.cluster())
        .map_err(|why| Fault::new(FaultClass::State, "its cluster was never Ready").because(why))?;
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
    let record = &running.record;
    let ports = record.ports();
    StartReport {
        instance: context.name.to_string(),
        was_running: from == From::Running,
        from,
        pid: running.process.pid(),
        accelerator: record.accelerator.clone(),
        accelerator_reason: record.accelerator_reason.clone(),
        distribution: record.distribution.clone(),
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
