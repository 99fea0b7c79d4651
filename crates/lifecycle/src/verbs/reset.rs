//! `reset`: the instance is destroyed and built again. Configuration, manifests and the image cache stay.

use model::Result;

use crate::context::Context;
use crate::fork::warm_pool;
use crate::instance::lock;
use crate::instance::observe::{Observed, observe};
use crate::instance::orphans;
use crate::instance::registry;
use crate::start::{self, Beginning, DryRun, StartOptions, StartReport};

/// Destroys the instance with all VMs that are left of it, ends those whose project is gone, and starts a new one.
/// What the new one needs is made first, so that a mistake in the configuration, a failed build or a taken port leaves
/// the old one as it is. With `rebuild` the guest image is built anew, too.
///
/// # Errors
/// As `stop` and `start`.
pub fn run(context: &Context<'_>, options: StartOptions, rebuild: bool) -> Result<StartReport> {
    let report = {
        let _lock = lock::of(context)?;
        start::run_locked(context, options, &Beginning::Anew { rebuild, destroy: &|| destroy(context) })?
    };
    warm_pool::refill(context);
    Ok(report)
}

/// What [`run`] would do. Nothing is changed, and no lock is taken.
///
/// # Errors
/// The errors of the configuration and of the manifests, and the refusals that `reset` would answer with.
pub fn dry_run(context: &Context<'_>, wait: bool, rebuild: bool) -> Result<DryRun> {
    let destroy = || Ok(String::new());
    start::dry_run(context, wait, &Beginning::Anew { rebuild, destroy: &destroy })
}

/// Ends processes and removes disk and records.
///
/// # Errors
/// A Port error where somebody else holds a port of the instance; a Timeout error when not even SIGKILL ends a process.
pub(crate) fn destroy(context: &Context<'_>) -> Result<String> {
    let own = match observe(context)? {
        Observed::Running(running) => {
            let ports = running.state_file.ports();
            vec![ports.api, ports.ssh, ports.web]
        }
        Observed::Orphan(_) | Observed::Stopped | Observed::Absent => Vec::new(),
    };
    orphans::check_ports(context, &own)?;
    let had_disk = context.paths().disk().exists();
    let ended = registry::destroy(&context.project.paths, &context.name, context.events)?;
    let abandoned = orphans::end_abandoned(context)?;
    let fact = match (ended > 0, had_disk) {
        (true, _) => "VM ended, disk removed",
        (false, true) => "disk removed",
        (false, false) => "there was none",
    };
    Ok(match abandoned {
        0 => fact.to_owned(),
        1 => format!("{fact}; ended a VM of a project that is gone"),
        several => format!("{fact}; ended {several} VMs of projects that are gone"),
    })
}
