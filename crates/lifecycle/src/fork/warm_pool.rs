//! The pool: forks that were made before anybody asked, each Ready and paused, so that a `run` begins at once (`pool = N`).
//!
//! A fork of the pool is an instance with a mark of what it holds. Who takes it removes the mark; one that holds something
//! else than a fork made now would is destroyed. Filling is a process of its own, started by whoever took one.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use host::files::{self, Mode};
use host::lock::FileLock;
use model::instance::InstanceName;
use model::paths::ProjectPaths;
use model::{Error, ErrorClass, Generation, Result};
use qemu::qcow2;
use serde::{Deserialize, Serialize};

use crate::apply::AppliedInputs;
use crate::context::Context;
use crate::instance::lock;
use crate::instance::observe::{Observed, Running, observe};
use crate::instance::qmp;
use crate::instance::registry;
use crate::project::desired::Desired;
use crate::saved_vm::SavedVm;
use crate::start::{self, Beginning, From, StartOptions};

/// What names of its forks begin with.
const PREFIX: &str = "pool-";

/// What a fork of the pool holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mark {
    /// The generation of the saved VM that it was made from.
    template: Generation,
    /// What was applied to it.
    inputs: AppliedInputs,
}

/// A fork that was in the pool and goes on.
pub(crate) struct Taken {
    /// Its name.
    pub(crate) name: InstanceName,
    /// The claim on it: whoever fills the pool leaves it alone.
    pub(crate) owner: File,
    /// Its VM.
    pub(crate) running: Box<Running>,
    /// What was applied to it; its container images are still to be compared with those that are wanted now.
    pub(crate) inputs: AppliedInputs,
}

/// Whether the instance waits in the pool.
pub(crate) fn is_waiting(project: &ProjectPaths, name: &InstanceName) -> bool {
    mark(project, name).exists()
}

fn mark(project: &ProjectPaths, name: &InstanceName) -> PathBuf {
    project.instance(name).dir().join("pool.json")
}

/// Takes a fork that holds what one made now would, but for container images; it goes on. Nothing where there is none.
///
/// # Errors
/// Errors of reading the project's files.
pub(crate) fn take(context: &Context<'_>) -> Result<Option<Taken>> {
    let project = &context.project.paths;
    let Some(wanted) = wanted(context)? else { return Ok(None) };
    for name in registry::names(project) {
        let Some(inputs) = waiting(project, &name, &wanted) else { continue };
        let fork = context.with_name(name.clone());
        // Another one takes it this moment.
        let Ok(_lock) = FileLock::acquire(&fork.paths().lock(), "a fork", Duration::ZERO, context.events) else {
            continue;
        };
        if !is_waiting(project, &name) {
            continue;
        }
        let Observed::Running(running) = observe(&fork)? else { continue };
        if running.state_file.memory != context.project.config.vm.memory {
            continue;
        }
        let Ok(owner) = registry::own(project, &name) else { continue };
        files::remove(&mark(project, &name))?;
        if qmp::connect(&fork.paths()).and_then(|mut qmp| qmp.cont()).is_ok() {
            return Ok(Some(Taken { name, owner, running, inputs }));
        }
    }
    Ok(None)
}

/// What a fork of the pool holds that can be used now: the template of the application and the digest of what would be
/// applied, images aside. Nothing where a new fork would have neither.
fn wanted(context: &Context<'_>) -> Result<Option<(SavedVm, String)>> {
    let desired = Desired::read_for_instance(context)?;
    match start::applied_template(context, &desired)? {
        Some(saved_vm) => Ok(Some((saved_vm, desired.digest(context)))),
        None => Ok(None),
    }
}

/// What the fork holds, where it waits and that is what is wanted.
fn waiting(
    project: &ProjectPaths,
    name: &InstanceName,
    (saved_vm, digest): &(SavedVm, String),
) -> Option<AppliedInputs> {
    let bytes = files::read_optional(&mark(project, name)).ok()??;
    let mark: Mark = serde_json::from_slice(&bytes).ok()?;
    (mark.template == *saved_vm.saved_state.generation() && mark.inputs.manifests == *digest).then_some(mark.inputs)
}

/// Fills the pool, and destroys forks in it that nobody can use. Where another process does so, its end is waited for: it
/// may have begun with another configuration. Where one waits already, that one does it.
///
/// # Errors
/// As `start`; Timeout when the other one does not end.
pub fn fill(context: &Context<'_>) -> Result<()> {
    let project = &context.project.paths;
    files::create_private_dir(&project.instances())?;
    let lock =
        |name: &str, limit| FileLock::acquire(&project.instances().join(name), "the pool", limit, context.events);
    let Ok(next) = lock("pool-next.lock", Duration::ZERO) else { return Ok(()) };
    let _lock = lock("pool.lock", context.project.config.timeouts.start)?;
    drop(next);
    registry::sweep(project, context.events)?;
    let mut usable = 0;
    let wanted = if context.project.config.pool == 0 { None } else { wanted(context)? };
    for name in forks(project) {
        let fork = context.with_name(name.clone());
        let Ok(_lock) = FileLock::acquire(&fork.paths().lock(), "a fork", Duration::ZERO, context.events) else {
            continue;
        };
        // Asked with the lock held, under which `take` claims it.
        if registry::is_owned(project, &name) {
            continue;
        }
        let is_usable = wanted.as_ref().is_some_and(|wanted| waiting(project, &name, wanted).is_some())
            && matches!(observe(&fork)?, Observed::Running(_))
            && usable < context.project.config.pool;
        if is_usable {
            usable += 1;
        } else {
            registry::delete(project, &name, context.events)?;
        }
    }
    if let Some((saved_vm, _)) = wanted {
        for _ in usable..context.project.config.pool {
            make(context, &saved_vm)?;
        }
    }
    Ok(())
}

/// The names of those that are in the pool, or were made for it.
fn forks(project: &ProjectPaths) -> impl Iterator<Item = InstanceName> {
    registry::names(project).into_iter().filter(|name| name.suffix().is_some_and(|suffix| suffix.starts_with(PREFIX)))
}

/// Makes a fork and lays it into the pool.
fn make(context: &Context<'_>, saved_vm: &SavedVm) -> Result<()> {
    let project = &context.project.paths;
    let fork =
        context.with_name(InstanceName::with_suffix(&format!("{PREFIX}{:08x}", uuid::Uuid::new_v4().as_fields().0))?);
    let made = || -> Result<()> {
        // As long as it is not whole it goes with this process.
        let owner = registry::own(project, &fork.name)?;
        let _lock = lock::of_new(&fork)?;
        let report = start::run_locked(&fork, StartOptions { wait: true, timeout: None }, &Beginning::AsItIs)?;
        let Some(inputs) = saved_vm.cluster.applied.clone().filter(|_| report.from == From::Template) else {
            return Err(Error::new(ErrorClass::State, "the kept application is not what would be applied now")
                .next("k3s-vm reset    # keeps a new one"));
        };
        let backing_file = qcow2::header(&fork.paths().disk())?.backing_file;
        if backing_file.as_deref().and_then(Path::file_stem)
            != Some(OsStr::new(saved_vm.saved_state.generation().as_str()))
        {
            return Err(Error::new(ErrorClass::State, "the kept application was replaced meanwhile"));
        }
        qmp::connect(&fork.paths())?.stop()?;
        let text = serde_json::to_vec(&Mark { template: saved_vm.saved_state.generation().clone(), inputs })
            .map_err(|error| Error::new(ErrorClass::Failed, "cannot mark a fork of the pool").because(error))?;
        files::write_atomic(&mark(project, &fork.name), &text, Mode::Exactly(0o600))?;
        registry::release(project, &fork.name, owner)
    };
    made().inspect_err(|_| {
        // The error that is told is the first one.
        let _ = registry::delete(project, &fork.name, context.events);
    })
}

/// Has a process of its own fill the pool, or empty one that is no longer wanted.
pub(crate) fn refill(context: &Context<'_>) {
    if context.project.config.pool == 0 && forks(&context.project.paths).next().is_none() {
        return;
    }
    let started = std::env::current_exe().and_then(|program| {
        let mut command = host::background::command(program);
        command.arg("--quiet").arg("--project").arg(context.project.paths.root()).arg("pool-fill");
        command.env_remove("K3S_VM_NAME").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn()
    });
    if let Err(error) = started {
        context.events.warning(format!("the pool is not filled: {error}"));
    }
}
