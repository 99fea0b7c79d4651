//! What a start begins with: this is how `start`, `reset`, `clone`, `run` and `snapshot restore` differ.

use model::Result;
use model::snapshot::SnapshotName;

use crate::context::Context;
use crate::saved_vm::{SavedVm, snapshot};

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
    pub(super) fn destroy(&self) -> Option<&dyn Fn() -> Result<String>> {
        match self {
            Beginning::AsItIs => None,
            Beginning::Anew { destroy, .. } => Some(destroy),
            Beginning::Saved { destroy, .. } => *destroy,
        }
    }

    pub(super) fn saved_vm(&self) -> Option<&SavedVm> {
        match self {
            Beginning::Saved { saved_vm, .. } => Some(saved_vm),
            _ => None,
        }
    }

    pub(super) fn rebuilds(&self) -> bool {
        matches!(self, Beginning::Anew { rebuild: true, .. })
    }
}

/// What an instance that is not there begins with: the snapshot `from` where one is named.
///
/// # Errors
/// State where the snapshot cannot be used; those of `start`.
pub(super) fn of_new_instance<T>(
    context: &Context<'_>,
    from: Option<&str>,
    start: impl FnOnce(&Beginning<'_>) -> Result<T>,
) -> Result<T> {
    let Some(name) = from else { return start(&Beginning::AsItIs) };
    let saved_vm = snapshot::open(context, &SnapshotName::new(name)?)?;
    start(&Beginning::Saved { saved_vm: &saved_vm, destroy: None })
}
