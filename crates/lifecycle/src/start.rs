//! `start`: from whatever is there to a Ready cluster with the project's application on it.
//!
//! `look` observes, `plan` decides, `execute` runs the plan's steps. `reset`, `clone`, `run` and `snapshot restore` are
//! the same with another [`Beginning`].

mod dry_run;
mod execute;
mod look;
mod plan;
mod report;
mod steps;

use model::Result;

use crate::context::Context;
use crate::fork::warm_pool;
use crate::instance::lock;
use crate::saved_vm::SavedVm;

pub use dry_run::{DryRun, PlannedStep, PlannedWay};
pub(crate) use execute::{awaken, run_locked};
pub(crate) use look::{applied_template, configured_image};
pub use plan::{From, Step, Unused};
pub use report::{StartOptions, StartReport};

/// What a start begins with.
pub(crate) enum Beginning<'a> {
    /// Whatever is there.
    AsItIs,
    /// Nothing: once everything for a new instance is there, the old one is destroyed, which gives the step's fact.
    Anew {
        /// Whether the guest image is built again, too.
        rebuild: bool,
        /// Destroys the old one.
        destroy: &'a dyn Fn() -> Result<String>,
    },
    /// A snapshot; nothing is applied to it.
    Saved {
        /// The snapshot.
        saved_vm: &'a SavedVm,
        /// Destroys the instance that is there, if there is one.
        destroy: Option<&'a dyn Fn() -> Result<String>>,
    },
}

impl Beginning<'_> {
    fn destroy(&self) -> Option<&dyn Fn() -> Result<String>> {
        match self {
            Beginning::AsItIs => None,
            Beginning::Anew { destroy, .. } => Some(destroy),
            Beginning::Saved { destroy, .. } => *destroy,
        }
    }

    fn saved_vm(&self) -> Option<&SavedVm> {
        match self {
            Beginning::Saved { saved_vm, .. } => Some(saved_vm),
            _ => None,
        }
    }

    fn rebuilds(&self) -> bool {
        matches!(self, Beginning::Anew { rebuild: true, .. })
    }
}

/// Starts the instance, or verifies and refreshes it when it runs.
///
/// # Errors
/// An error of any step; a VM that was started runs on, so that the next start continues where this one ended.
pub fn run(context: &Context<'_>, options: StartOptions) -> Result<StartReport> {
    let report = {
        let _lock = lock::of_new(context)?;
        run_locked(context, options, &Beginning::AsItIs)?
    };
    warm_pool::refill(context);
    Ok(report)
}

/// What [`run`] would do. Nothing is changed, and no lock is taken.
///
/// # Errors
/// The mistakes of the configuration and of the manifests, and the refusals that `start` would answer with.
pub fn dry_run(context: &Context<'_>, wait: bool) -> Result<DryRun> {
    dry_run::of(context, wait, &Beginning::AsItIs)
}

/// What `reset` would do, as [`dry_run`].
///
/// # Errors
/// As [`dry_run`].
pub fn dry_run_reset(context: &Context<'_>, wait: bool, rebuild: bool) -> Result<DryRun> {
    let nothing = || Ok(String::new());
    dry_run::of(context, wait, &Beginning::Anew { rebuild, destroy: &nothing })
}
