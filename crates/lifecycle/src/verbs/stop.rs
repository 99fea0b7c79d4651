//! `stop`: the VM is suspended, or the guest powers off; if it does not, the shutdown escalation ends QEMU.

use std::time::Duration;

use host::identity::ProcessHandle;
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
use crate::instance::suspended_files;
use crate::saved_vm::suspend;
use crate::steps::{Outcome, Steps};

/// How an instance was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopReport {
    /// It did not run.
    WasStopped,
    /// Its RAM is saved; the next start resumes it.
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
        for way in plan(&observed, options.power_off) {
            match (way, &observed) {
                (Way::Suspend, Observed::Running(running)) => {
                    if suspended(context, running, patience)? {
                        shutdown::remove_run_files(&context.paths())?;
                        let fact = format!("suspended; `{}` resumes it", context.command("start"));
                        return Ok(Outcome::Done(StopReport::Suspended, fact));
                    }
                }
                (_, Observed::Running(running)) => return powered_off(context, &running.process, &escalation),
                (_, Observed::Orphan(process)) => return powered_off(context, process, &escalation),
                (_, Observed::Stopped | Observed::Absent) => {}
            }
        }
        let end = unexpected_end(context)?.map_or_else(String::new, |end| format!(": {end}"));
        shutdown::remove_run_files(&context.paths())?;
        let is_suspended = suspended_files::is_saved(&context.paths().suspended());
        let fact = if is_suspended { "it is suspended".to_owned() } else { format!("it is not running{end}") };
        Ok(Outcome::Skipped(StopReport::WasStopped, fact))
    })?;
    // The VM has stopped, but the caller is not to continue as if it had not been interrupted.
    interrupt::check()?;
    for orphan in orphans::look(context, None)? {
        if let Owner::GoneProject { .. } = orphan.owner {
            context.events.note(format!("{}; {} ends it", orphan.sentence(), orphan.remedies()));
        }
    }
    Ok(report)
}

/// A way to stop a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Its RAM is saved and QEMU ended.
    Suspend,
    /// The guest powers off, by the shutdown escalation.
    PowerOff,
}

/// The ways to stop what was observed, each the fallback of the one before it; none where nothing runs.
fn plan(observed: &Observed, power_off: bool) -> &'static [Way] {
    match observed {
        Observed::Running(_) if !power_off => &[Way::Suspend, Way::PowerOff],
        // Without its state file nobody knows what suspended RAM would depend on.
        Observed::Running(_) | Observed::Orphan(_) => &[Way::PowerOff],
        Observed::Stopped | Observed::Absent => &[],
    }
}

/// Powers the guest off, or ends QEMU by force.
fn powered_off(context: &Context<'_>, process: &ProcessHandle, escalation: &Escalation) -> Result<Outcome<StopReport>> {
    let ended = shutdown::end(process, &context.paths(), escalation, context.events);
    let ended = ended.map_err(|error| match error.class() {
        ErrorClass::Interrupted => error.because("the guest was told to power off, and may still do so"),
        _ => error,
    })?;
    let (report, fact) = match ended {
        Ended::Forced => (StopReport::Forced, "ended by force: the guest did not power off in time"),
        Ended::PoweredOff => (StopReport::Clean, "the guest powered off"),
    };
    Ok(Outcome::Done(report, fact.to_owned()))
}

/// Suspends the VM; whether that worked. Warns where it did not.
fn suspended(context: &Context<'_>, running: &Running, patience: Duration) -> Result<bool> {
    let Err(error) = suspend::save(context, running, patience) else { return Ok(true) };
    suspended_files::discard(&context.paths().suspended())?;
    match error.class() {
        ErrorClass::Interrupted => Err(error),
        // QEMU was asked to end, and its RAM was not saved.
        _ if !running.process.is_alive() => {
            context.events.warning(format!("its RAM is not saved: {error}; the next start boots from the disk"));
            Ok(true)
        }
        _ => {
            context.events.warning(format!("it cannot be suspended: {error}; powering off"));
            Ok(false)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_suspended_or_powered_off_where_nothing_runs() {
        for power_off in [false, true] {
            assert!(plan(&Observed::Stopped, power_off).is_empty());
            assert!(plan(&Observed::Absent, power_off).is_empty());
        }
    }

    #[test]
    fn a_vm_without_its_state_file_is_powered_off() {
        let this = ProcessHandle::prove(std::process::id(), |_, _| true).expect("a look").expect("this process");
        assert_eq!(plan(&Observed::Orphan(this), false), [Way::PowerOff]);
    }
}
