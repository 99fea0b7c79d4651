//! `clone`: another instance of the project, from its template or a snapshot.

use model::snapshot::SnapshotName;
use model::{Error, ErrorClass, Result};

use crate::context::Context;
use crate::instance::lock;
use crate::instance::observe::{Observed, observe};
use crate::saved_vm::snapshot;
use crate::start::{self, Beginning, StartOptions, StartReport};

/// Makes the instance of `context` and starts it, from the snapshot `from` where one is named.
///
/// # Errors
/// State when it is there already; as `start`.
pub fn run(context: &Context<'_>, from: Option<&str>, options: StartOptions) -> Result<StartReport> {
    let _lock = lock::of_new(context)?;
    if !matches!(observe(context)?, Observed::Absent) {
        let name = context.name.suffix().unwrap_or_default();
        return Err(Error::new(ErrorClass::State, format!("the instance {name} is there already"))
            .next(context.command("start"))
            .next(format!("{}    # destroys it and makes it anew", context.command("reset")))
            .next(format!("{}    # destroys it", context.command("delete"))));
    }
    run_locked(context, from, options)
}

/// As [`run`], with the lock of an instance held that is not there.
///
/// # Errors
/// As [`run`].
pub(crate) fn run_locked(context: &Context<'_>, from: Option<&str>, options: StartOptions) -> Result<StartReport> {
    match from {
        None => start::run_locked(context, options, &Beginning::AsItIs),
        Some(name) => {
            let saved_vm = snapshot::open(context, &SnapshotName::new(name)?)?;
            start::run_locked(context, options, &Beginning::Saved { saved_vm: &saved_vm, destroy: None })
        }
    }
}
