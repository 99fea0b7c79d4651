//! `run`: a private cluster for as long as a command runs.
//!
//! The reaper destroys the instance, however this process ends. If both are killed, the next `run` cleans up.

use std::ffi::OsString;

use cluster::Credentials;
use host::files;
use model::instance::InstanceName;
use model::{Error, ErrorClass, Result};

use crate::apply::images;
use crate::context::Context;
use crate::fork::reaper::Reaper;
use crate::fork::take::{self, Taken};
use crate::fork::warm_pool;
use crate::instance::lock;
use crate::instance::observe::{Observed, observe};
use crate::instance::ports;
use crate::instance::registry;
use crate::start::{self, StartOptions, StartReport};

/// An instance that is destroyed when this is dropped, or when this process ends.
pub struct Fork {
    /// The start of the instance.
    pub report: StartReport,
    /// The environment variables for a command that uses the cluster.
    pub environment: Vec<(OsString, OsString)>,
    reaper: Reaper,
}

impl Fork {
    /// Makes a fork, or takes one from the warm pool if it is unnamed and does not start from a snapshot.
    ///
    /// # Errors
    /// A State error when an instance of this name exists; otherwise as `start`. A failed call leaves no instance.
    pub fn begin(context: &Context<'_>, is_unnamed: bool, from: Option<&str>, options: StartOptions) -> Result<Self> {
        registry::sweep(&context.project.paths, context.events)?;
        let uses_pool = context.project.config.pool > 0 && from.is_none();
        if uses_pool
            && is_unnamed
            && let Some(taken) = take::run(context)?
            && let Some(fork) = Self::of(context, taken)?
        {
            return Ok(fork);
        }
        let _lock = lock::of_new(context)?;
        if !matches!(observe(context)?, Observed::Absent) {
            let name = context.name.suffix().unwrap_or_default();
            return Err(Error::new(ErrorClass::State, format!("there is already an instance {name}"))
                .next(format!("{}    # destroys it", context.command("delete")))
                .next("or choose another name, or none"));
        }
        let owner = registry::own(&context.project.paths, &context.name)?;
        let reaper = Reaper::start(context, &owner)?;
        let report = start::run_from(context, from, options)?;
        let environment = environment(context, &report)?;
        Ok(Fork { report, environment, reaper })
    }

    /// A fork from the warm pool, with its clock set and its API verified. Returns nothing, and destroys the fork, if
    /// the container images of the project have changed since it was made.
    fn of(context: &Context<'_>, taken: Taken) -> Result<Option<Self>> {
        let fork = context.with_name(taken.name.clone());
        let reaper = Reaper::start(&fork, &taken.owner)?;
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

    /// Destroys the fork, and refills the warm pool in the background.
    ///
    /// # Errors
    /// A Failed error when the reaper could not destroy it.
    pub fn end(self, context: &Context<'_>) -> Result<()> {
        let ended = self.reaper.end();
        warm_pool::refill(context);
        ended
    }
}

/// A name for a fork that the user has not named.
///
/// # Errors
/// As [`InstanceName::with_suffix`].
pub fn unused_name() -> Result<InstanceName> {
    InstanceName::with_suffix(&format!("run-{:08x}", uuid::Uuid::new_v4().as_fields().0))
}

/// The environment variables for programs that use the cluster.
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
