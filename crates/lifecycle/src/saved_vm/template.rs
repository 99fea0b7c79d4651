//! Templates of a project: the saved VMs that the tool makes by itself, to begin a new instance with.
//!
//! They are caches: whatever is wrong with one, the start goes without it, with one line that says why.

use std::path::PathBuf;

use model::Result;
use qemu::saved_state::CompatibilityKey;

use crate::context::Context;
use crate::instance::observe::Running;
use crate::instance::saved_cluster::SavedCluster;
use crate::saved_vm::save::{Saved, save_running};
use crate::saved_vm::{PATIENCE, SavedVm, discard};

/// What is in a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A pristine cluster that has just become Ready.
    Ready,
    /// The same, with the project's manifests applied and its application answering.
    Applied,
}

impl Kind {
    /// The name of its directory.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Ready => "ready",
            Kind::Applied => "applied",
        }
    }
}

/// Where the template of this kind is, or would be.
pub(crate) fn directory(context: &Context<'_>, kind: Kind) -> PathBuf {
    context.project.paths.templates().join(kind.name())
}

/// The template of this kind, where one can be restored with the compatibility key of `now`.
///
/// # Errors
/// Why there is none that can be used, as a part of a sentence.
pub(crate) fn find(
    context: &Context<'_>,
    kind: Kind,
    now: &CompatibilityKey,
    certificate_days: u32,
) -> Result<SavedVm, String> {
    let saved_vm = SavedVm::open(&directory(context, kind))?;
    saved_vm.fits(now, certificate_days)?;
    Ok(saved_vm)
}

/// Removes the template of this kind.
///
/// # Errors
/// An error that names the path.
pub(crate) fn remove(context: &Context<'_>, kind: Kind) -> Result<()> {
    discard(&directory(context, kind), PATIENCE, context.events)
}

/// Saves the running instance as the template of this kind, in place of the one from before. The guest is paused for a
/// second or less.
///
/// # Errors
/// As [`save_running`].
pub(crate) fn make(context: &Context<'_>, kind: Kind, running: &Running, cluster: &SavedCluster) -> Result<Saved> {
    let target = directory(context, kind);
    save_running(context, running, &target, "the template", cluster)
}
