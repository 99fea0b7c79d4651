//! `stop`: the VM is suspended, or the guest powers off; if it does not, QEMU is ended by a bounded escalation.

use std::time::Duration;

use host::interrupt;
use model::{ErrorClass, Result};
use qemu::power::Escalation;
use serde::Serialize;

use crate::context::Context;
use crate::instance::awake;
use crate::instance::lock;
use crate::instance::observe::{Observed, Running, observe, unexpected_end};
use crate::instance::orphans;
use crate::instance::ownership::Owner;
use crate::instance::shutdown::{self, Ended};
use crate::saved_vm::suspend;
use crate::steps::{Outcome, Steps};

/// How an instance was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopReport {
    /// It did not run.
    WasStopped,
    /// Its RAM is kept, so that it can go on.
    Suspended,
    /// The guest shut itself down.
    Clean,
    /// QEMU was ended while the guest ran; its journal repairs the disk at the next start.
    Forced,
}

/// How to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopOptions {
    /// Whether the guest is to power off, instead of being suspended.
    pub power_off: bool,
    /// How long it may take for that, and to answer before it is suspended, instead of the configured time.
    pub timeout: Option<Duration>,
}

/// Stops the instance; one that does not run is success. A VM that cannot be suspended is powered off.
///
/// # Errors
/// A Timeout error when not even SIGKILL ends the process; Interrupted, also where the VM was stopped nevertheless.
pub fn run(context: &Context<'_>, options: StopOptions) -> Result<StopReport> {
    let _lock = lock::of(context)?;
    let mut steps = Steps::new(context.events, 1);
    let patience = options.timeout.unwrap_or(context.project.config.timeouts.stop);
    let escalation = Escalation::with_clean(patience);
    let report = steps.run("Stopping the VM", || {
        let observed = observe(context)?;
        if matches!(observed, Observed::Running(_)) {
            awake::ensure(context)?;
        }
        let process = match observed {
            Observed::Running(running) if !options.power_off && suspended(context, &running, patience)? => {
                shutdown::remove_run_files(&context.paths())?;
                let fact = format!("suspended; `{}` goes on where it is", context.command("start"));
                return Ok(Outcome::Done(StopReport::Suspended, fact));
            }
            Observed::Running(running) => running.process,
            Observed::Orphan(process) => process,
            Observed::Stopped | Observed::Absent => {
                let end = unexpected_end(context)?.map_or_else(String::new, |end| format!(": {end}"));
                shutdown::remove_run_files(&context.paths())?;
                if suspend::is_saved(&context.paths().suspended()) {
                    return Ok(Outcome::Skipped(StopReport::WasStopped, "it is suspended".to_owned()));
                }
                return Ok(Outcome::Skipped(StopReport::WasStopped, format!("it is not running{end}")));
            }
        };
        let ended = shutdown::end(&process, &context.paths(), &escalation, context.events);
        let ended = ended.map_err(|error| match error.class() {
            ErrorClass::Interrupted => error.because("the guest was told to power off, and may still do so"),
            _ => error,
        })?;
        let (report, fact) = match ended {
            Ended::Forced => (StopReport::Forced, "ended by force: the guest did not power off in time"),
            Ended::PoweredOff => (StopReport::Clean, "the guest powered off"),
        };
        Ok(Outcome::Done(report, fact.to_owned()))
    })?;
    // What is done is done, but nobody goes on as if it had not been interrupted.
    interrupt::check()?;
    for orphan in orphans::look(context, None)? {
        if let Owner::GoneProject { .. } = orphan.owner {
            context.events.note(format!("{}; {} ends it", orphan.sentence(), orphan.remedies()));
        }
    }
    Ok(report)
}

/// Suspends it; whether that worked. Why it did not is told.
fn suspended(context: &Context<'_>, running: &Running, patience: Duration) -> Result<bool> {
    let Err(error) = suspend::save(context, running, patience) else { return Ok(true) };
    suspend::discard(&context.paths().suspended())?;
    match error.class() {
        ErrorClass::Interrupted => Err(error),
        // QEMU's end was asked for, and what was to be kept is not.
        _ if !running.process.is_alive() => {
            context.events.warning(format!("its RAM is not kept: {error}; the next start boots from the disk"));
            Ok(true)
        }
        _ => {
            context.events.warning(format!("it cannot be suspended: {error}; powering off"));
            Ok(false)
        }
    }
}
