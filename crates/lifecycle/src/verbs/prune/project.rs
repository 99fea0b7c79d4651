//! What of the project is of no use: templates that do not fit, what killed makers left, RAM without a disk, disks of
//! which nothing is made.

use std::time::Duration;

use host::lock::FileLock;
use model::{ErrorClass, Result};
use qemu::Qemu;
use qemu::saved_state::sweep;

use super::{Kind, Work};
use crate::context::Context;
use crate::instance::registry;
use crate::saved_vm::backing_files::entries;
use crate::saved_vm::suspend;
use crate::saved_vm::template::{self, SavedVm};
use crate::start;
use crate::verbs::snapshot;

pub(super) fn prune(context: &Context<'_>, work: &mut Work<'_>) -> Result<()> {
    let project = &context.project.paths;
    // Nobody chooses one to restore meanwhile.
    let pool = context.pool().lock(context.events)?;
    let mut unfit = Vec::new();
    for directory in entries(&project.templates())? {
        let is_hidden = directory.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if let Some(why) = if is_hidden { None } else { useless(context, &directory) } {
            let paths = model::paths::SavedStatePaths::new(&directory);
            work.found(Kind::Template, &directory, why, template::usage_without_disk(&paths));
            if !work.dry_run {
                match template::discard(context, &directory, Duration::ZERO) {
                    // It is being restored.
                    Err(error) if error.class() == ErrorClass::State => continue,
                    discarded => discarded?,
                }
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
    let collected =
        if work.dry_run { pool.would_collect(&unfit, context.events)? } else { pool.collect(context.events)? };
    if collected.disks > 0 {
        let why = format!("nothing is made of them any more ({})", collected.disks);
        work.found(Kind::BackingFiles, &project.disks(), why, collected.bytes);
    }
    drop(pool);
    for name in registry::names(project) {
        suspended(&context.with_name(name), work)?;
    }
    Ok(())
}

/// Why no start will use a template; nothing where one may.
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
    // Without QEMU nothing can be told.
    let qemu = Qemu::find(&context.cache, context.events).ok()?;
    snapshot::fits(context, &qemu, &saved_vm, SavedVm::fits).err()
}

/// RAM that belongs to a disk that is gone.
fn suspended(context: &Context<'_>, work: &mut Work<'_>) -> Result<()> {
    let paths = context.paths();
    let kept = paths.suspended();
    let files = suspend::files(&kept)?;
    if files.is_empty() || paths.disk().exists() {
        return Ok(());
    }
    let _lock = match FileLock::acquire(&paths.lock(), &context.name.to_string(), Duration::ZERO, context.events) {
        Ok(lock) => lock,
        // Whoever works on it knows better.
        Err(error) if error.class() == ErrorClass::State => return Ok(()),
        Err(error) => return Err(error),
    };
    if paths.disk().exists() {
        return Ok(());
    }
    let bytes = files.iter().map(|file| super::usage(file)).sum();
    work.found(Kind::SuspendedRam, &kept.description(), "its disk is gone", bytes);
    if work.dry_run { Ok(()) } else { suspend::discard(&kept) }
}
