//! `clone`: another instance of the project, from its template or a snapshot.

use model::{Error, ErrorClass, Result};

use crate::context::Context;
use crate::instance::lock;
use crate::instance::observe::{Observed, observe};
use crate::start::{self, DryRun, StartOptions, StartReport};

/// Makes the instance of `context` and starts it, from the snapshot `from` where one is named.
///
/// # Errors
/// State when it is there already; as `start`.
pub fn run(context: &Context<'_>, from: Option<&str>, options: StartOptions) -> Result<StartReport> {
    let _lock = lock::of_new(context)?;
    check_absent(context)?;
    start::run_from(context, from, options)
}

/// What [`run`] would do. Nothing is changed, and no lock is taken.
///
/// # Errors
/// As [`run`], of what can be refused before anything is started.
pub fn dry_run(context: &Context<'_>, from: Option<&str>, wait: bool) -> Result<DryRun> {
    check_absent(context)?;
    start::dry_run_from(context, from, wait)
}

fn check_absent(context: &Context<'_>) -> Result<()> {
    if !matches!(observe(context)?, Observed::Absent) {
        let name = context.name.suffix().unwrap_or(context.name.as_str());
        return Err(Error::new(ErrorClass::State, format!("the instance {name} is there already"))
            .next(context.command("start"))
            .next(format!("{}    # destroys it and makes it anew", context.command("reset")))
            .next(format!("{}    # destroys it", context.command("delete"))));
    }
    Ok(())
}
