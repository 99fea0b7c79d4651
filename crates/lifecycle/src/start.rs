//! From whatever is there to a Ready cluster with the project's application on it.
//!
//! `look` observes, `plan` decides, `execute` runs the plan's steps. The verbs `start`, `reset`, `clone`, `run` and
//! `snapshot restore` are the same with another [`Beginning`].

mod beginning;
mod dry_run;
mod execute;
mod look;
mod plan;
mod report;
mod steps;

pub(crate) use beginning::Beginning;
pub use dry_run::{DryRun, PlannedStep, PlannedWay};
pub(crate) use dry_run::{dry_run, dry_run_from};
pub(crate) use execute::{awaken, run_from, run_locked};
pub(crate) use look::{applied_template, configured_image};
pub use plan::{From, Step, Unused};
pub use report::{StartOptions, StartReport};
