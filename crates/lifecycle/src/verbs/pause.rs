//! `pause` and `resume`: the guest stands still and costs no CPU, until it is resumed or somebody connects to it.

use std::time::{Duration, SystemTime};

use cluster::{ApiProbe, Credentials};
use host::deadline::Deadline;
use host::files::{self, Mode};
use model::paths::InstancePaths;
use model::{Error, ErrorClass, Result};
use qemu::console::ConsoleReader;
use qemu::qmp::RunState;
use qemu::{Qmp, WakeLine};
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::instance::awake;
use crate::instance::lock;
use crate::instance::observe::{Observed, Running, not_running, observe};
use crate::instance::wait::watch::GuestWatch;
use crate::steps::{Outcome, Steps};
use crate::supervisor;

/// How long one QMP call may take.
const QMP_DEADLINE: Duration = Duration::from_secs(20);

/// Since when and why a guest stands still. A help for people: whether it does is QEMU's word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paused {
    /// When it was paused: `2026-11-23T17:20:00Z`.
    pub since: String,
    /// By whom or why: `k3s-vm pause`, `nothing was connected for 10m`.
    pub why: String,
}

impl Paused {
    fn write(paths: &InstancePaths, why: &str) -> Result<()> {
        let since = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        let text = serde_json::to_vec(&Paused { since, why: why.to_owned() })
            .map_err(|error| Error::new(ErrorClass::Failed, "cannot write since when it is paused").because(error))?;
        files::write_atomic(&paths.paused(), &text, Mode::Exactly(0o600))
    }

    /// What was written, if it can be read.
    pub(crate) fn read(paths: &InstancePaths) -> Option<Self> {
        serde_json::from_slice(&files::read_optional(&paths.paused()).ok()??).ok()
    }

    /// It is over.
    ///
    /// # Errors
    /// An error that names the path.
    pub(crate) fn forget(paths: &InstancePaths) -> Result<()> {
        files::remove(&paths.paused())
    }
}

/// What `pause` and `resume` report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PauseReport {
    /// The instance.
    pub instance: String,
    /// Whether it was paused before.
    pub was_paused: bool,
}

/// Pauses the instance; one that is paused stays so, which is success.
///
/// # Errors
/// A State error when it does not run, or its guest is in another state; Failed when this QEMU cannot tell who wants a
/// guest that stands still, which then runs on.
pub fn pause(context: &Context<'_>) -> Result<PauseReport> {
    let _lock = lock::of(context)?;
    if !matches!(observe(context)?, Observed::Running(_)) {
        return Err(not_running(context));
    }
    let paths = context.paths();
    let was_paused = Steps::new(context.events, 1).run("Pausing the VM", || {
        let mut qmp = Qmp::connect(&paths.vm_dir(), QMP_DEADLINE)?;
        let was_paused = match qmp.status()? {
            RunState::Running => false,
            RunState::Paused => true,
            RunState::Other(state) => {
                return Err(Error::new(ErrorClass::State, format!("{} cannot be paused", context.name))
                    .because(format!("its guest is in the state {state}"))
                    .next(context.command("status")));
            }
        };
        // Also where it is paused: whoever listened for connections may have been killed.
        let line = stand_still(&mut qmp, &paths, &context.command("pause"))?;
        drop(qmp);
        supervisor::spawn::listen(context, line)?;
        let fact = "the next connection to one of its ports lets it go on";
        Ok(match was_paused {
            true => Outcome::Skipped(true, format!("it is paused; {fact}")),
            false => Outcome::Done(false, fact.to_owned()),
        })
    })?;
    Ok(PauseReport { instance: context.name.to_string(), was_paused })
}

/// Stops the guest and lays the line on which QEMU tells who wants it; a guest for which there is none runs on.
///
/// # Errors
/// As [`pause`].
pub(crate) fn stand_still(qmp: &mut Qmp, paths: &InstancePaths, why: &str) -> Result<WakeLine> {
    let ran = qmp.status()? == RunState::Running;
    let _deferred = host::interrupt::defer();
    qmp.stop()?;
    let laid = if ran { Paused::write(paths, why) } else { Ok(()) }.and_then(|()| WakeLine::arm(qmp));
    if laid.is_err() && ran {
        qmp.cont()?;
    }
    laid
}

/// Lets the instance go on and waits until its API answers; one that runs is success.
///
/// # Errors
/// A State error when it does not run, Timeout and Guest errors of the wait, a Port error when another cluster answers.
pub fn resume(context: &Context<'_>, timeout: Option<Duration>) -> Result<PauseReport> {
    let _lock = lock::of(context)?;
    let Observed::Running(running) = observe(context)? else { return Err(not_running(context)) };
    let mut steps = Steps::new(context.events, 1);
    let deadline = Deadline::after(timeout.unwrap_or(context.project.config.timeouts.start));
    let was_paused = steps.run("Resuming the VM", || {
        let was_paused = awake::go_on(context)?;
        supervisor::spawn::ensure(context);
        if !was_paused {
            return Ok(Outcome::Skipped(false, "it runs already".to_owned()));
        }
        // The guest does both at once in less time than one after the other.
        let (paths, events) = (context.paths(), context.events);
        let fact = std::thread::scope(|scope| {
            let clock = scope.spawn(|| awake::woken(&paths, events));
            let fact = answers(context, &running, deadline);
            let clock = clock.join();
            fact.and_then(|fact| clock.unwrap_or(Ok(())).map(|()| fact))
        })?;
        Ok(Outcome::Done(true, fact))
    })?;
    Ok(PauseReport { instance: context.name.to_string(), was_paused })
}

/// Waits until the API proves to be ours and ready, where its authority is known.
fn answers(context: &Context<'_>, running: &Running, deadline: Deadline) -> Result<String> {
    let Some(text) = files::read_text_optional(&context.kubeconfig())? else {
        return Ok("there is no kubeconfig yet".to_owned());
    };
    let credentials = Credentials::parse(&context.kubeconfig().display().to_string(), &text)?;
    let ports = running.state_file.ports();
    let address = ports.api_address();
    let probe = ApiProbe::new(address, &credentials)?;
    let paths = context.paths();
    let console = ConsoleReader::from_end(paths.log())?;
    let mut watch = GuestWatch::new(&running.process, console, &paths, context.events);
    watch.wait(&format!("the Kubernetes API on {address}"), deadline, |left| probe.look(left))?;
    Ok(format!("{} answers", ports.api_url()))
}
