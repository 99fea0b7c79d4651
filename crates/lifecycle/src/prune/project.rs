//! What of the project is of no use: templates that do not fit, what killed makers left, RAM without a disk, disks of
//! which nothing is made.

use std::time::Duration;

use host::lock::FileLock;
use model::{FaultClass, Result};
use qemu::Qemu;
use qemu::template::sweep;

use super::{Kind, Work};
use crate::context::Context;
use crate::disks::entries;
use crate::instances;
use crate::snapshot;
use crate::start;
use crate::suspend;
use crate::template::{self, Base};

pub(super) fn prune(context: &Context<'_>, work: &mut Work<'_>) -> Result<()> {
    let project = &context.project.paths;
    // Nobody chooses one to restore meanwhile.
    let pool = context.pool().lock(context.events)?;
    let mut unfit = Vec::new();
    for folder in entries(&project.templates())? {
        let is_hidden = folder.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if let Some(why) = if is_hidden { None } else { useless(context, &folder) } {
            let paths = model::paths::TemplatePaths::new(&folder);
            work.found(Kind::Template, &folder, why, template::usage_without_disk(&paths));
            if !work.dry_run {
                match template::discard(context, &folder, Duration::ZERO) {
                    // It is being restored.
                    Err(fault) if fault.class() == FaultClass::State => continue,
                    discarded => discarded?,
                }
            }
            unfit.push(folder);
        }
    }
    for parent in [project.templates(), project.snapshots()] {
        let swept = sweep(&parent, work.dry_run)?;
        if swept.folders > 0 {
            work.found(Kind::Unfinished, &parent, "whoever made it was killed", swept.bytes);
        }
    }
    let collected =
        if work.dry_run { pool.would_collect(&unfit, context.events)? } else { pool.collect(context.events)? };
    if collected.disks > 0 {
        let why = format!("nothing is made of them any more ({})", collected.disks);
        work.found(Kind::FrozenDisks, &project.disks(), why, collected.bytes);
    }
    drop(pool);
    for name in instances::names(project) {
        suspended(&context.with_name(name), work)?;
    }
    Ok(())
}

/// Why no start will use a template; nothing where one may.
fn useless(context: &Context<'_>, folder: &std::path::Path) -> Option<String> {
    let base = match Base::open(folder) {
        Ok(base) => base,
        Err(why) => return Some(why),
    };
    if let Ok(Some(image)) = start::configured_image(context)
        && image.folder != base.cluster.image_folder
    {
        return Some("new instances have another guest image".to_owned());
    }
    // Without QEMU nothing can be told.
    let qemu = Qemu::find(&context.cache, context.events).ok()?;
    snapshot::fits(context, &qemu, &base, Base::fits).err()
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
        Err(fault) if fault.class() == FaultClass::State => return Ok(()),
        Err(fault) => return Err(fault),
    };
    if paths.disk().exists() {
        return Ok(());
    }
    let bytes = files.iter().map(|file| super::usage(file)).sum();
    work.found(Kind::SuspendedRam, &kept.description(), "its disk is gone", bytes);
    if work.dry_run { Ok(()) } else { suspend::discard(&kept) }
}
