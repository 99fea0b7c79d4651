//! `stop`: the guest powers off; if it does not, QEMU is ended by a bounded ladder.

use std::time::Duration;

use host::files;
use host::identity::ProcessHandle;
use model::paths::InstancePaths;
use model::{EventSink, Fault, FaultClass, Result};
use qemu::power::{Ladder, Rung};
use serde::Serialize;

use crate::context::Context;
use crate::leftovers;
use crate::observe::{Observed, observe, unexpected_end};
use crate::ownership::Owner;
use crate::phases::{Outcome, Phases};

/// How an instance was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopReport {
    /// It did not run.
    WasStopped,
    /// The guest shut itself down.
    Clean,
    /// QEMU was ended while the guest ran; its journal repairs the disk at the next start.
    Forced,
}

/// Stops the instance; one that does not run is success.
///
/// # Errors
/// A Timeout fault when not even SIGKILL ends the process.
pub fn run(context: &Context<'_>, timeout: Option<Duration>) -> Result<StopReport> {
    let _lock = context.lock()?;
    let mut phases = Phases::new(context.events, 1);
    let ladder = Ladder::with_clean(timeout.unwrap_or(context.project.config.timeouts.stop));
    let report = phases.run("Stopping the VM", || {
        let process = match observe(context)? {
            Observed::Running(running) => running.process,
            Observed::Orphan(process) => process,
            Observed::Stopped | Observed::Absent => {
                let end = unexpected_end(context)?.map_or_else(String::new, |end| format!(": {end}"));
                settle(&context.paths())?;
                return Ok(Outcome::Skipped(StopReport::WasStopped, format!("it is not running{end}")));
            }
        };
        let report = end(&process, &context.paths(), &ladder, context.events)?;
        let fact = match report {
            StopReport::Forced => "ended by force: the guest did not power off in time",
            StopReport::Clean | StopReport::WasStopped => "the guest powered off",
        };
        Ok(Outcome::Done(report, fact.to_owned()))
    })?;
    for leftover in leftovers::look(context, None)? {
        if let Owner::GoneProject { .. } = leftover.owner {
            context.events.note(format!("{}; {} ends it", leftover.sentence(), leftover.remedies()));
        }
    }
    Ok(report)
}

/// Removes what says that it runs.
fn settle(paths: &InstancePaths) -> Result<()> {
    files::remove(&paths.record())?;
    files::remove(&paths.pid())
}

/// Ends `process` and removes what says that it runs.
///
/// # Errors
/// As [`run`].
pub(crate) fn end(
    process: &ProcessHandle,
    paths: &InstancePaths,
    ladder: &Ladder,
    events: &dyn EventSink,
) -> Result<StopReport> {
    let stopped = ladder.stop(process, &paths.vm_dir(), events)?;
    if process.is_alive() {
        return Err(Fault::new(FaultClass::Timeout, format!("QEMU (pid {}) does not end", process.pid())));
    }
    settle(paths)?;
    if stopped.rung != Rung::PowerOff {
        events.debug(format!("QEMU was ended by {:?}", stopped.rung));
    }
    Ok(if stopped.clean { StopReport::Clean } else { StopReport::Forced })
}
