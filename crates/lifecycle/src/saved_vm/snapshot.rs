//! The snapshots of a project: which there are, and opening one.

use model::paths::ProjectPaths;
use model::snapshot::SnapshotName;
use model::{Error, ErrorClass, Result};

use crate::context::Context;
use crate::directory::entries;
use crate::saved_vm::SavedVm;

/// The names of the project's snapshots, in order.
///
/// # Errors
/// An error that names the directory.
pub(crate) fn names(paths: &ProjectPaths) -> Result<Vec<SnapshotName>> {
    let mut names: Vec<SnapshotName> = entries(&paths.snapshots())?
        .iter()
        .filter_map(|directory| SnapshotName::new(directory.file_name()?.to_str()?).ok())
        .collect();
    names.sort();
    Ok(names)
}

/// Opens the snapshot `name`.
///
/// # Errors
/// State when there is none or it cannot be used.
pub(crate) fn open(context: &Context<'_>, name: &SnapshotName) -> Result<SavedVm> {
    let directory = context.project.paths.snapshot(name);
    if !directory.dir().is_dir() {
        return Err(absent(context, name));
    }
    SavedVm::open(directory.dir()).map_err(|why| {
        Error::new(ErrorClass::State, format!("the snapshot {name} cannot be used"))
            .because(why)
            .next(format!("k3s-vm snapshot rm {name}"))
            .next("k3s-vm snapshot list")
    })
}

/// The error that there is no snapshot `name`.
pub(crate) fn absent(context: &Context<'_>, name: &SnapshotName) -> Error {
    let error = Error::new(ErrorClass::State, format!("there is no snapshot {name}"));
    let names = names(&context.project.paths).unwrap_or_default();
    match names.as_slice() {
        [] => error.because("the project has none").next(context.command(&format!("snapshot save {name}"))),
        names => {
            let names: Vec<&str> = names.iter().map(SnapshotName::as_str).collect();
            error.because(format!("there are {}", names.join(", "))).next("k3s-vm snapshot list")
        }
    }
}
