//! The lock of an instance, which a verb holds while it works on the instance. Once it is held, what killed verbs have
//! left half done is cleaned up.

use host::lock::{FileLock, Sharing};
use model::{Error, ErrorClass, Result};

use crate::context::Context;
use crate::instance::interrupted_restore;
use crate::instance::vm_log;
use crate::project::ignore_file;

/// Takes the lock of an instance that exists. The default one need not exist.
///
/// # Errors
/// A State error where there is no such instance, or that names the holder when it is not released in time; those of
/// [`interrupted_restore::end`].
pub(crate) fn of(context: &Context<'_>) -> Result<FileLock> {
    let Some(name) = context.name.suffix() else { return of_new(context) };
    let paths = context.paths();
    let lock = FileLock::acquire_existing(
        &paths.lock(),
        Sharing::Alone,
        &format!("instance {}", context.name),
        context.project.config.timeouts.lock,
        context.events,
    )?;
    match lock {
        Some(lock) => held(context, lock),
        None if paths.dir().exists() => of_new(context),
        // It may have existed until this verb began to wait for the one that deleted it.
        None => Err(Error::new(ErrorClass::State, format!("there is no instance {name}"))
            .next("k3s-vm list    # shows those that there are")
            .next(format!("k3s-vm clone {name}    # makes it"))),
    }
}

/// Takes the lock of an instance that may not exist yet.
///
/// # Errors
/// As [`of`].
pub(crate) fn of_new(context: &Context<'_>) -> Result<FileLock> {
    let paths = context.paths();
    host::files::create_private_dir(&paths.vm_dir())?;
    let what = format!("instance {}", context.name);
    let lock = FileLock::acquire(&paths.lock(), &what, context.project.config.timeouts.lock, context.events)?;
    held(context, lock)
}

fn held(context: &Context<'_>, lock: FileLock) -> Result<FileLock> {
    // No verb fails for this: the next one tries again.
    if let Err(error) = host::files::recover(&context.paths().vm_dir(), context.events) {
        context.events.warning(error.to_string());
    }
    ignore_file::ensure(&context.project.paths, context.events);
    vm_log::bound(&context.paths().log())?;
    interrupted_restore::end(context)?;
    Ok(lock)
}
