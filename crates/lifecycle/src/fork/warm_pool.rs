//! The warm pool: forks made ahead, each Ready and paused, so that a `run` begins at once (`pool = N`).
//!
//! A fork in the pool is an instance with a mark that says what was applied to it. Whoever takes it removes the mark. A
//! background process fills the pool.

use std::path::PathBuf;
use std::process::Stdio;

use host::files::{self, Mode};
use model::instance::InstanceName;
use model::paths::ProjectPaths;
use model::{Error, ErrorClass, Generation, Result};
use serde::{Deserialize, Serialize};

use crate::background::BackgroundTask;
use crate::context::Context;
use crate::instance::registry;
use crate::project::applied_inputs::AppliedInputs;

/// The prefix of the names of pool forks.
pub(super) const PREFIX: &str = "pool-";

/// What a fork in the pool was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mark {
    /// The generation of the template that it was restored from.
    pub(super) template: Generation,
    /// What was applied to it.
    pub(super) inputs: AppliedInputs,
}

impl Mark {
    fn path(project: &ProjectPaths, name: &InstanceName) -> PathBuf {
        project.instance(name).dir().join("pool.json")
    }

    /// The mark of a fork in the pool. Returns nothing for any other instance, and where it cannot be read.
    pub(super) fn read(project: &ProjectPaths, name: &InstanceName) -> Option<Self> {
        serde_json::from_slice(&files::read_optional(&Self::path(project, name)).ok()??).ok()
    }

    /// Puts the fork into the pool.
    ///
    /// # Errors
    /// An error that names the path.
    pub(super) fn write(&self, project: &ProjectPaths, name: &InstanceName) -> Result<()> {
        let text = serde_json::to_vec(self)
            .map_err(|error| Error::new(ErrorClass::Failed, "cannot mark a fork of the pool").because(error))?;
        files::write_atomic(&Self::path(project, name), &text, Mode::Exactly(0o600))
    }

    /// Takes the fork out of the pool.
    ///
    /// # Errors
    /// An error that names the path.
    pub(super) fn remove(project: &ProjectPaths, name: &InstanceName) -> Result<()> {
        files::remove(&Self::path(project, name))
    }
}

/// Whether the instance is a fork in the pool.
pub(crate) fn is_waiting(project: &ProjectPaths, name: &InstanceName) -> bool {
    Mark::path(project, name).exists()
}

/// The names of the forks that are in the pool or were made for it.
pub(super) fn names(project: &ProjectPaths) -> impl Iterator<Item = InstanceName> {
    registry::names(project).into_iter().filter(|name| name.suffix().is_some_and(|suffix| suffix.starts_with(PREFIX)))
}

/// Starts a background process that fills the pool, or empties one that is no longer configured.
pub(crate) fn refill(context: &Context<'_>) {
    if context.project.config.pool == 0 && names(&context.project.paths).next().is_none() {
        return;
    }
    let started = context.background(BackgroundTask::FillWarmPool).and_then(|mut command| {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn()
    });
    if let Err(error) = started {
        context.events.warning(format!("the warm pool is not filled: {error}"));
    }
}
