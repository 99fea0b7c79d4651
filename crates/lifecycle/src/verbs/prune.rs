//! `prune`: frees the space of what nothing can use any more.
//!
//! What the user has made, and what may still be used, stays: instances, snapshots, and images that have users or whose
//! users are not known.

mod cache;
mod project;
mod report;

use model::Result;

use crate::context::Context;
use crate::steps::{Outcome, Steps};
use report::Work;

pub use report::{Kept, Kind, PruneReport, Removal};

/// Removes what nothing can use, or with `dry_run` only reports it.
///
/// # Errors
/// Errors of reading and removing.
pub fn run(context: &Context<'_>, dry_run: bool) -> Result<PruneReport> {
    let mut work = Work { dry_run, ..Work::default() };
    let mut steps = Steps::new(context.events, 2);
    steps.run("Looking through the project", || {
        project::prune(context, &mut work)?;
        Ok(Outcome::Done((), work.fact(0)))
    })?;
    let before = work.removed.len();
    steps.run("Looking through the cache", || {
        cache::prune(context, &mut work)?;
        Ok(Outcome::Done((), work.fact(before)))
    })?;
    let bytes = work.removed.iter().map(|removal| removal.bytes).sum();
    Ok(PruneReport { dry_run, removed: work.removed, kept: work.kept, bytes })
}
