//! Taking a fork from the warm pool.

use std::fs::File;
use std::time::Duration;

use host::lock::FileLock;
use model::Result;
use model::instance::InstanceName;
use model::paths::ProjectPaths;

use crate::context::Context;
use crate::fork::warm_pool::{self, Mark};
use crate::instance::observe::{Observed, Running, observe};
use crate::instance::qmp;
use crate::instance::registry;
use crate::project::applied_inputs::AppliedInputs;
use crate::project::desired::Desired;
use crate::saved_vm::SavedVm;
use crate::start;

/// A fork that was taken from the pool, with its guest resumed.
pub(super) struct Taken {
    /// The name of the instance.
    pub(super) name: InstanceName,
    /// The claim on the instance, by which processes that fill the pool leave it alone.
    pub(super) owner: File,
    /// Its VM.
    pub(super) running: Box<Running>,
    /// What was applied to it. Its container images have not been compared with the configured ones yet.
    pub(super) inputs: AppliedInputs,
}

/// Takes a usable fork from the pool and resumes its guest. Returns nothing if there is none.
///
/// # Errors
/// Errors of reading the project's files.
pub(super) fn run(context: &Context<'_>) -> Result<Option<Taken>> {
    let project = &context.project.paths;
    let Some(wanted) = Wanted::read(context)? else { return Ok(None) };
    for name in registry::names(project) {
        let Some(inputs) = wanted.inputs_of(project, &name) else { continue };
        let fork = context.with_name(name.clone());
        // Another process is taking it.
        let Ok(_lock) = FileLock::acquire(&fork.paths().lock(), "a fork", Duration::ZERO, context.events) else {
            continue;
        };
        if !warm_pool::is_waiting(project, &name) {
            continue;
        }
        let Observed::Running(running) = observe(&fork)? else { continue };
        if running.state_file.memory != context.project.config.vm.memory {
            continue;
        }
        let Ok(owner) = registry::own(project, &name) else { continue };
        Mark::remove(project, &name)?;
        if qmp::connect(&fork.paths()).and_then(|mut qmp| qmp.cont()).is_ok() {
            return Ok(Some(Taken { name, owner, running, inputs }));
        }
    }
    Ok(None)
}

/// What a fork in the pool must have been made from to be usable now.
pub(super) struct Wanted {
    /// The template of the application.
    pub(super) template: SavedVm,
    /// The digest of what would be applied, without container images.
    digest: String,
}

impl Wanted {
    /// Reads it from the project. Returns nothing if a new fork would not start from a template of the application.
    ///
    /// # Errors
    /// Errors of reading the project's files.
    pub(super) fn read(context: &Context<'_>) -> Result<Option<Self>> {
        let desired = Desired::read_for_instance(&context.project, context.is_default())?;
        let template = start::applied_template(context, &desired)?;
        Ok(template.map(|template| Wanted { template, digest: desired.digest(&context.project) }))
    }

    /// What was applied to the instance, if it is a fork in the pool that is usable now.
    pub(super) fn inputs_of(&self, project: &ProjectPaths, name: &InstanceName) -> Option<AppliedInputs> {
        let mark = Mark::read(project, name)?;
        let is_usable =
            mark.template == *self.template.saved_state.generation() && mark.inputs.manifests == self.digest;
        is_usable.then_some(mark.inputs)
    }
}
