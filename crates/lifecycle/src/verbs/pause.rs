//! `pause` and `resume`: a paused guest uses no CPU, until it is resumed or somebody connects to it.

use std::time::Duration;

use cluster::{ApiProbe, Credentials};
use host::deadline::Deadline;
use host::files;
use model::{Error, ErrorClass, Result};
use qemu::console::ConsoleReader;
use qemu::qmp::RunState;
use serde::Serialize;

use crate::context::Context;
use crate::instance::awake;
use crate::instance::lock;
use crate::instance::observe::{Observed, Running, not_running, observe};
use crate::instance::paused;
use crate::instance::qmp;
use crate::instance::supervisor_process;
use crate::instance::wait::watch::GuestWatch;
use crate::steps::{Outcome, Steps};

pub use crate::instance::paused::Paused;

/// What `pause` and `resume` report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PauseReport {
    /// The instance.
    pub instance: String,
    /// Whether it was paused before.
    pub was_paused: bool,
}

/// Pauses the instance. One that is paused already stays so, which is success.
///
/// # Errors
/// A State error when it does not run, or its guest is in another state; Failed when this QEMU cannot report connections
/// to a paused guest, which then runs on.
pub fn pause(context: &Context<'_>) -> Result<PauseReport> {
    let _lock = lock::of(context)?;
    if !matches!(observe(context)?, Observed::Running(_)) {
        return Err(not_running(context));
    }
    let paths = context.paths();
    let was_paused = Steps::new(context.events, 1).run("Pausing the VM", || {
        let mut qmp = qmp::connect(&paths)?;
        let was_paused = match qmp.status()? {
            RunState::Running => false,
            RunState::Paused => true,
            RunState::Other(state) => {
                return Err(Error::new(ErrorClass::State, format!("{} cannot be paused", context.name))
                    .because(format!("its guest is in the state {state}"))
                    .next(context.command("status")));
            }
        };
        // Also where it is paused: the process that listened for connections may have been killed.
        let line = paused::pause_guest(&mut qmp, &paths, &context.command("pause"))?;
        drop(qmp);
        supervisor_process::listen(context, line)?;
        let fact = "the next connection to one of its ports resumes it";
        Ok(match was_paused {
            true => Outcome::Skipped(true, format!("it is paused; {fact}")),
            false => Outcome::Done(false, fact.to_owned()),
        })
    })?;
    Ok(PauseReport { instance: context.name.to_string(), was_paused })
}

/// Resumes the instance and waits until its API answers. One that runs is success.
///
/// # Errors
/// A State error when it does not run, Timeout and Guest errors of the wait, a Port error when another cluster answers.
pub fn resume(context: &Context<'_>, timeout: Option<Duration>) -> Result<PauseReport> {
    let _lock = lock::of(context)?;
    let Observed::Running(running) = observe(context)? else { return Err(not_running(context)) };
    let mut steps = Steps::new(context.events, 1);
    let deadline = Deadline::after(timeout.unwrap_or(context.project.config.timeouts.start));
    let was_paused = steps.run("Resuming the VM", || {
        let was_paused = awake::resume(context)?;
        supervisor_process::ensure(context);
        if !was_paused {
            return Ok(Outcome::Skipped(false, "it runs already".to_owned()));
        }
        // At the same time, which takes the guest less time than one after the other.
        let (paths, events) = (context.paths(), context.events);
        let fact = std::thread::scope(|scope| {
            let clock = scope.spawn(|| paused::after_resume(&paths, events));
            let fact = wait_for_api(context, &running, deadline);
            let clock = clock.join();
            fact.and_then(|fact| clock.unwrap_or(Ok(())).map(|()| fact))
        })?;
        Ok(Outcome::Done(true, fact))
    })?;
    Ok(PauseReport { instance: context.name.to_string(), was_paused })
}

/// Waits until the API proves to be ours and is ready, where there is a kubeconfig with its CA.
fn wait_for_api(context: &Context<'_>, running: &Running, deadline: Deadline) -> Result<String> {
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
