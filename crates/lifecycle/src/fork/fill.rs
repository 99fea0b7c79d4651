//! Filling the warm pool: the work of a background process.

use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use host::files;
use host::lock::FileLock;
use model::instance::InstanceName;
use model::{Error, ErrorClass, Result};
use qemu::qcow2;

use crate::context::Context;
use crate::fork::take::Wanted;
use crate::fork::warm_pool::{self, Mark, PREFIX};
use crate::instance::lock;
use crate::instance::observe::{Observed, observe};
use crate::instance::qmp;
use crate::instance::registry;
use crate::saved_vm::SavedVm;
use crate::start::{self, Beginning, From, StartOptions};

/// Fills the pool, and destroys forks in it that are no longer usable.
///
/// If another process is filling it, waits for that one, which may have read an older configuration. If a second
/// process is waiting already, returns at once and leaves the work to it.
///
/// # Errors
/// As `start`; Timeout when the other process does not end.
pub fn run(context: &Context<'_>) -> Result<()> {
    let project = &context.project.paths;
    files::create_private_dir(&project.instances())?;
    let lock =
        |name: &str, limit| FileLock::acquire(&project.instances().join(name), "the pool", limit, context.events);
    let Ok(next) = lock("pool-next.lock", Duration::ZERO) else { return Ok(()) };
    let _lock = lock("pool.lock", context.project.config.timeouts.start)?;
    drop(next);
    registry::sweep(project, context.events)?;
    let mut usable = 0;
    let wanted = if context.project.config.pool == 0 { None } else { Wanted::read(context)? };
    for name in warm_pool::names(project) {
        let fork = context.with_name(name.clone());
        let Ok(_lock) = FileLock::acquire(&fork.paths().lock(), "a fork", Duration::ZERO, context.events) else {
            continue;
        };
        // Checked under the lock, because `take` claims the fork under it.
        if registry::is_owned(project, &name) {
            continue;
        }
        let is_usable = wanted.as_ref().is_some_and(|wanted| wanted.inputs_of(project, &name).is_some())
            && matches!(observe(&fork)?, Observed::Running(_))
            && usable < context.project.config.pool;
        if is_usable {
            usable += 1;
        } else {
            registry::delete(project, &name, context.events)?;
        }
    }
    if let Some(wanted) = wanted {
        for _ in usable..context.project.config.pool {
            add(context, &wanted.template)?;
        }
    }
    Ok(())
}

/// Makes a fork, pauses it and puts it into the pool.
fn add(context: &Context<'_>, template: &SavedVm) -> Result<()> {
    let project = &context.project.paths;
    let fork =
        context.with_name(InstanceName::with_suffix(&format!("{PREFIX}{:08x}", uuid::Uuid::new_v4().as_fields().0))?);
    let made = || -> Result<()> {
        // Owned until it is complete, so that a sweep removes it if this process is killed.
        let owner = registry::own(project, &fork.name)?;
        let _lock = lock::of_new(&fork)?;
        let report = start::run_locked(&fork, StartOptions { wait: true, timeout: None }, &Beginning::AsItIs)?;
        let Some(inputs) = template.cluster.applied.clone().filter(|_| report.from == From::Template) else {
            return Err(Error::new(ErrorClass::State, "the template does not match what would be applied now")
                .next("k3s-vm reset    # saves a new template"));
        };
        let backing_file = qcow2::header(&fork.paths().disk())?.backing_file;
        let generation = template.saved_state.generation();
        if backing_file.as_deref().and_then(Path::file_stem) != Some(OsStr::new(generation.as_str())) {
            return Err(Error::new(ErrorClass::State, "the template was replaced while a fork of it started"));
        }
        qmp::connect(&fork.paths())?.stop()?;
        Mark { template: generation.clone(), inputs }.write(project, &fork.name)?;
        registry::release(project, &fork.name, owner)
    };
    made().inspect_err(|_| {
        // The first error is the one to report.
        let _ = registry::delete(project, &fork.name, context.events);
    })
}
