//! Prunes the project: templates that cannot be used, incomplete saved VMs, suspended RAM without a disk, and backing files
//! that no disk needs.

use host::lock::FileLock;
use model::Result;
use qemu::Qemu;
use qemu::saved_state::{sweep, try_remove};

use super::report::{Kind, Work, usage};
use crate::context::Context;
use crate::directory::entries;
use crate::instance::registry;
use crate::saved_vm::backing_files::BackingFiles;
use crate::saved_vm::suspend;
use crate::saved_vm::{SavedVm, fits_now, usage_without_disk};
use crate::start;

pub(super) fn prune(context: &Context<'_>, work: &mut Work) -> Result<()> {
    let project = &context.project.paths;
    // So that no restore chooses one meanwhile.
    let backing_files = BackingFiles::of_project(&context.project).lock(context.events)?;
    let mut unfit = Vec::new();
    for directory in entries(&project.templates())? {
        let is_hidden = directory.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if let Some(why) = if is_hidden { None } else { useless(context, &directory) } {
            let paths = model::paths::SavedStatePaths::new(&directory);
            work.found(Kind::Template, &directory, why, usage_without_disk(&paths));
            // One that is in use is being restored.
            if !work.dry_run && !try_remove(&directory)? {
                continue;
            }
            unfit.push(directory);
        }
    }
    for parent in [project.templates(), project.snapshots()] {
        let swept = sweep(&parent, work.dry_run)?;
        if swept.directories > 0 {
            work.found(Kind::Unfinished, &parent, "whoever made it was killed", swept.bytes);
        }
    }
    let collected = if work.dry_run {
        backing_files.would_collect(&unfit, context.events)?
    } else {
        backing_files.collect(context.events)?
    };
    if collected.disks > 0 {
        let why = format!("nothing is made of them any more ({})", collected.disks);
        work.found(Kind::BackingFiles, &project.disks(), why, collected.bytes);
    }
    drop(backing_files);
    for name in registry::names(project) {
        suspended(&context.with_name(name), work)?;
    }
    Ok(())
}

/// Why no start can use a template; `None` where one may.
fn useless(context: &Context<'_>, directory: &std::path::Path) -> Option<String> {
    let saved_vm = match SavedVm::open(directory) {
        Ok(saved_vm) => saved_vm,
        Err(why) => return Some(why),
    };
    if let Ok(Some(image)) = start::configured_image(context)
        && image.directory != saved_vm.cluster.image_directory
    {
        return Some("new instances have another guest image".to_owned());
    }
    // Without QEMU it is not known.
    let qemu = Qemu::find(&context.cache, context.events).ok()?;
    fits_now(context, &qemu, &saved_vm, SavedVm::fits).err()
}

/// Removes suspended RAM whose disk is gone.
fn suspended(context: &Context<'_>, work: &mut Work) -> Result<()> {
    let paths = context.paths();
    let suspended = paths.suspended();
    let files = suspend::files(&suspended)?;
    if files.is_empty() || paths.disk().exists() {
        return Ok(());
    }
    // Otherwise another verb works on the instance.
    let Some(_lock) = FileLock::try_acquire(&paths.lock())? else { return Ok(()) };
    if paths.disk().exists() {
        return Ok(());
    }
    let bytes = files.iter().map(|file| usage(file)).sum();
    work.found(Kind::SuspendedRam, &suspended.description(), "its disk is gone", bytes);
    if work.dry_run { Ok(()) } else { suspend::discard(&suspended) }
}
