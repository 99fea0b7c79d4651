//! `start`: the instance is started, or verified and refreshed when it runs.

use model::Result;

use crate::context::Context;
use crate::fork::warm_pool;
use crate::instance::lock;
use crate::start::{self, Beginning, DryRun, StartOptions, StartReport};

/// Starts the instance.
///
/// # Errors
/// An error of any step; a VM that was started runs on, so that the next start continues where this one ended.
pub fn run(context: &Context<'_>, options: StartOptions) -> Result<StartReport> {
    let report = {
        let _lock = lock::of_new(context)?;
        start::run_locked(context, options, &Beginning::AsItIs)?
    };
    warm_pool::refill(context);
    Ok(report)
}

/// What [`run`] would do. Nothing is changed, and no lock is taken.
///
/// # Errors
/// The errors of the configuration and of the manifests, and the refusals that `start` would answer with.
pub fn dry_run(context: &Context<'_>, wait: bool) -> Result<DryRun> {
    start::dry_run(context, wait, &Beginning::AsItIs)
}
