//! `snapshot rm`.

use model::Result;
use model::snapshot::SnapshotName;
use serde::Serialize;

use crate::context::Context;
use crate::saved_vm::backing_files::BackingFiles;
use crate::saved_vm::snapshot::absent;
use crate::saved_vm::{PATIENCE, discard, usage_without_disk};

/// What was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RemoveReport {
    /// The snapshots.
    pub removed: Vec<SnapshotName>,
    /// Bytes on the disk that are free again, once no VM that was restored from them runs.
    pub bytes: u64,
}

/// Removes snapshots. All of them have to exist. A VM that was restored from one runs on.
///
/// # Errors
/// State when one does not exist; an error that names the path.
pub fn remove(context: &Context<'_>, names: &[SnapshotName]) -> Result<RemoveReport> {
    for name in names {
        if !context.project.paths.snapshot(name).dir().is_dir() {
            return Err(absent(context, name));
        }
    }
    let mut bytes = 0;
    for name in names {
        let paths = context.project.paths.snapshot(name);
        bytes += usage_without_disk(&paths);
        discard(paths.dir(), PATIENCE, context.events)?;
    }
    let collected = BackingFiles::of_project(&context.project).lock(context.events)?.collect(context.events)?;
    Ok(RemoveReport { removed: names.to_vec(), bytes: bytes + collected.bytes })
}
