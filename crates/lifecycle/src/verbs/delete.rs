//! `delete`: removes an instance with its data. Manifests, snapshots and templates of the project stay.

use model::Result;
use model::instance::InstanceName;
use serde::Serialize;

use crate::context::Context;
use crate::instance::lock;
use crate::instance::registry;
use crate::saved_vm::backing_files::BackingFiles;
use crate::steps::{Outcome, Steps};

/// What was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeleteReport {
    /// The names of the instances; none where there was none, which is success.
    pub instances: Vec<String>,
    /// Bytes of the backing files that nothing needed any more.
    pub freed: u64,
}

/// Deletes the instance, or with `all` all instances of the project.
///
/// # Errors
/// A Timeout error when a process cannot be ended; State when another verb works on an instance.
pub fn run(context: &Context<'_>, all: bool) -> Result<DeleteReport> {
    let project = &context.project.paths;
    let there = registry::names(project);
    let names: Vec<InstanceName> =
        if all { there } else { there.into_iter().filter(|name| *name == context.name).collect() };
    let mut steps = Steps::new(context.events, 1);
    steps.run("Deleting", || {
        let mut ended = 0;
        for name in &names {
            let one = context.with_name(name.clone());
            let _lock = lock::of(&one)?;
            ended += registry::delete(project, name, context.events)?;
        }
        let freed = BackingFiles::of_project(&context.project).lock(context.events)?.collect(context.events)?.bytes;
        let report = DeleteReport { instances: names.iter().map(ToString::to_string).collect(), freed };
        let fact = match names.as_slice() {
            [] => return Ok(Outcome::Skipped(report, format!("there is no instance {}", context.name))),
            [name] => format!("{name}, {ended} VM ended"),
            several => format!("{} instances, {ended} VMs ended", several.len()),
        };
        Ok(Outcome::Done(report, fact))
    })
}
