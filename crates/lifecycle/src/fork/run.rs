//! `run`: a cluster of one's own for as long as a command runs.
//!
//! The instance is destroyed by its reaper, a process that sees the end of this one by the end of a pipe: however this one
//! ends, nothing is left. Should both be killed, the next `run` sweeps.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::process::{Child, ChildStdin, Command, Stdio};

use cluster::Credentials;
use host::files;
use model::instance::InstanceName;
use model::paths::ProjectPaths;
use model::{Error, ErrorClass, EventSink, Result};

use crate::apply::images;
use crate::context::Context;
use crate::fork::warm_pool::{self, Taken};
use crate::instance::lock;
use crate::instance::observe::{Observed, observe};
use crate::instance::ports;
use crate::instance::registry;
use crate::saved_vm::backing_files::BackingFiles;
use crate::start::{self, StartOptions, StartReport};
use crate::verbs::clone;

/// An instance that goes when this is dropped, or when this process ends.
pub struct Fork {
    /// What it is.
    pub report: StartReport,
    /// What a command in it gets to know.
    pub environment: Vec<(OsString, OsString)>,
    reaper: Reaper,
}

impl Fork {
    /// Makes one, or takes one from the pool where nobody has chosen its name. `reaper` is the program that looks after it, called as [`reaper`] wants it.
    ///
    /// # Errors
    /// State when an instance of this name is there; as `start`. Nothing is left behind.
    pub fn begin(
        context: &Context<'_>,
        is_unnamed: bool,
        from: Option<&str>,
        options: StartOptions,
        reaper: &dyn Fn(&InstanceName) -> Command,
    ) -> Result<Self> {
        registry::sweep(&context.project.paths, context.events)?;
        let forks = context.project.config.pool > 0 && from.is_none();
        if forks
            && is_unnamed
            && let Some(taken) = warm_pool::take(context)?
            && let Some(fork) = Self::of(context, taken, reaper)?
        {
            return Ok(fork);
        }
        let _lock = lock::of_new(context)?;
        if !matches!(observe(context)?, Observed::Absent) {
            let name = context.name.suffix().unwrap_or_default();
            return Err(Error::new(ErrorClass::State, format!("there is an instance {name} that stays"))
                .next(format!("{}    # destroys it", context.command("delete")))
                .next("or choose another name, or none"));
        }
        let owner = registry::own(&context.project.paths, &context.name)?;
        let reaper = Reaper::start(reaper(&context.name), &owner)?;
        let report = clone::run_locked(context, from, options)?;
        let environment = environment(context, &report)?;
        Ok(Fork { report, environment, reaper })
    }

    /// What was taken from the pool, once its clock is right and its API has proved to be ours; nothing where the container
    /// images of the project have changed, and then it is destroyed.
    fn of(context: &Context<'_>, taken: Taken, reaper: &dyn Fn(&InstanceName) -> Command) -> Result<Option<Self>> {
        let fork = context.with_name(taken.name.clone());
        let reaper = Reaper::start(reaper(&taken.name), &taken.owner)?;
        let (has_images, report) = std::thread::scope(|scope| {
            let (project, paths, events) = (&context.project, fork.paths(), context.events);
            let inputs = &taken.inputs;
            let built = scope.spawn(move || images::are_as_applied(project, &paths, inputs, events));
            let report = start::awaken(&fork, &taken.running);
            let built = built
                .join()
                .unwrap_or_else(|_| Err(Error::new(ErrorClass::Failed, "the build of container images died")));
            (built, report)
        });
        if !has_images? {
            return Ok(None);
        }
        let report = report?;
        let environment = environment(&fork, &report)?;
        Ok(Some(Fork { report, environment, reaper }))
    }

    /// Destroys it, and has the pool filled again.
    ///
    /// # Errors
    /// A Failed error when the reaper could not.
    pub fn end(self, context: &Context<'_>) -> Result<()> {
        let ended = self.reaper.end();
        warm_pool::refill(context);
        ended
    }
}

/// The process that destroys an instance when its pipe ends.
struct Reaper {
    child: Child,
    /// Closed, by whatever closes it, it tells the reaper to act.
    pipe: Option<ChildStdin>,
}

impl Reaper {
    fn start(mut command: Command, owner: &File) -> Result<Self> {
        let failed = |error: std::io::Error| {
            Error::new(ErrorClass::Failed, "cannot start the process that cleans up").because(error)
        };
        // The lock that `owner` holds lives as long as one of the two has it open.
        let owner = owner.try_clone().map_err(failed)?;
        command.stdin(Stdio::piped()).stdout(owner).stderr(Stdio::null());
        let mut child = command.spawn().map_err(failed)?;
        let pipe = child.stdin.take();
        Ok(Reaper { child, pipe })
    }

    fn end(mut self) -> Result<()> {
        drop(self.pipe.take());
        match self.child.wait() {
            Ok(status) if status.success() => Ok(()),
            other => {
                let why = other.map_or_else(|error| error.to_string(), |status| status.to_string());
                Err(Error::new(ErrorClass::Failed, "the fork was not destroyed").because(why).next("k3s-vm list"))
            }
        }
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        drop(self.pipe.take());
        // It does its work whether or not it is waited for.
        let _ = self.child.wait();
    }
}

/// The reaper's work: waits until `pipe` ends, then destroys the instance.
///
/// # Errors
/// As `delete`.
pub fn reaper(project: &ProjectPaths, name: &InstanceName, mut pipe: impl Read, events: &dyn EventSink) -> Result<()> {
    let mut rest = Vec::new();
    // However it ends, it has ended.
    let _ = pipe.read_to_end(&mut rest);
    registry::delete(project, name, events)?;
    BackingFiles::of(project).lock(events)?.collect(events).map(drop)
}

/// A name for a fork that nobody has named.
pub fn unused_name() -> Result<InstanceName> {
    InstanceName::with_suffix(&format!("run-{:08x}", uuid::Uuid::new_v4().as_fields().0))
}

/// The variables for programs that use the cluster.
fn environment(context: &Context<'_>, report: &StartReport) -> Result<Vec<(OsString, OsString)>> {
    let path = context.kubeconfig();
    let text = files::read_text_optional(&path)?.unwrap_or_default();
    let ports = ports::of(context)?;
    let credentials = Credentials::parse(&path.display().to_string(), &text)?;
    let kubeconfig = credentials.for_host(&context.name, ports.bind, ports.api);
    let name = context.name.suffix().unwrap_or_default();
    let variables: [(&str, OsString); 9] = [
        ("KUBECONFIG", path.into()),
        ("KUBECONFIG_PRIMARY", kubeconfig.to_json_base64().into()),
        ("WEB_URL", report.web.clone().into()),
        ("WEB_PORT", ports.web.to_string().into()),
        ("API_URL", report.api.clone().into()),
        ("API_PORT", ports.api.to_string().into()),
        ("SSH_PORT", ports.ssh.to_string().into()),
        ("K3S_VM_NAME", name.into()),
        ("K3S_VM_PROJECT", context.project.paths.root().into()),
    ];
    Ok(variables.into_iter().map(|(name, value)| (name.into(), value)).collect())
}
