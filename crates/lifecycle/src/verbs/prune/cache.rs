//! What of the shared cache is of no use: guest images without users beside the newest of their kind, and old downloads
//! that no project names.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use host::files;
use host::lock::FileLock;
use model::guest_image::GuestImage;
use model::paths::ProjectPaths;
use model::{ErrorClass, Result};

use super::{Kept, Kind, Work};
use crate::context::Context;
use crate::instance::image_users::{self, Users};
use crate::saved_vm::backing_files::entries;

/// A download is kept at least so long: a build may be about to use it.
const OLDEST_DOWNLOAD: Duration = Duration::from_secs(30 * 24 * 60 * 60);

pub(super) fn prune(context: &Context<'_>, work: &mut Work<'_>) -> Result<()> {
    let images = images(context)?;
    let newest = newest(&images);
    for (image, _) in &images {
        if newest.contains(&image.directory) {
            continue;
        }
        // Alone from before the look at its users until it is gone: who chooses it now waits, and then finds none.
        let Some(_alone) = image_users::alone(&image.directory, work.events)? else { continue };
        match image_users::users(&image.directory) {
            Users::Project(_) => {}
            Users::None => remove(context, &image.directory, work)?,
            Users::Unknown(why) => {
                work.kept.push(Kept { path: image.directory.clone(), why, bytes: super::usage(&image.directory) });
            }
        }
    }
    downloads(context, &images, work)
}

/// The finished images, each with when it was made.
fn images(context: &Context<'_>) -> Result<Vec<(GuestImage, SystemTime)>> {
    let mut images = Vec::new();
    for directory in entries(&context.cache.images())? {
        // What is being built is none yet.
        if let Ok(image) = guest_image::open(&directory, &context.cache)
            && let Ok(made) =
                directory.join(model::guest_image::file::MANIFEST).metadata().and_then(|file| file.modified())
        {
            images.push((image, made));
        }
    }
    Ok(images)
}

/// The directories of the newest image of each provider and distribution: the next project will want it.
fn newest(images: &[(GuestImage, SystemTime)]) -> BTreeSet<PathBuf> {
    let mut newest: BTreeMap<(&str, &str), &(GuestImage, SystemTime)> = BTreeMap::new();
    for entry in images {
        let manifest = &entry.0.manifest;
        let best = newest.entry((&manifest.provider, &manifest.distribution)).or_insert(entry);
        if entry.1 > best.1 {
            *best = entry;
        }
    }
    newest.into_values().map(|(image, _)| image.directory.clone()).collect()
}

/// Under the lock of its builder; it loses its name first, so that nobody takes the rest for an image.
fn remove(context: &Context<'_>, directory: &Path, work: &mut Work<'_>) -> Result<()> {
    let name = directory.file_name().unwrap_or_default().to_string_lossy();
    let lock = context.cache.locks().join(format!("{name}.lock"));
    let _lock = match FileLock::acquire(&lock, &name, Duration::ZERO, work.events) {
        Ok(lock) => lock,
        Err(error) if error.class() == ErrorClass::State => return Ok(()),
        Err(error) => return Err(error),
    };
    let why = "no project uses it, and there is a newer one";
    if work.dry_run {
        return work.remove(Kind::GuestImage, directory, why);
    }
    let bytes = super::usage(directory);
    let partial = directory.with_file_name(format!("{name}.partial"));
    files::remove(&partial)?;
    files::rename(directory, &partial)?;
    files::remove(&partial)?;
    work.found(Kind::GuestImage, directory, why, bytes);
    Ok(())
}

/// Downloads have the digest in their names by which `k3s.lock` of a project names them.
fn downloads(context: &Context<'_>, images: &[(GuestImage, SystemTime)], work: &mut Work<'_>) -> Result<()> {
    let mut projects: BTreeSet<PathBuf> = BTreeSet::from([context.project.paths.root().to_owned()]);
    for (image, _) in images {
        projects.extend(image_users::projects(&image.directory).unwrap_or_default());
    }
    let mut named = String::new();
    for project in projects {
        named.push_str(&files::read_text_optional(&ProjectPaths::new(project).k3s_lock())?.unwrap_or_default());
    }
    for path in entries(&context.cache.downloads())? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let digest = name.split('-').next().unwrap_or_default();
        let age = path.metadata().and_then(|file| file.modified()).ok().and_then(|time| time.elapsed().ok());
        if age.is_some_and(|age| age > OLDEST_DOWNLOAD) && !named.contains(digest) {
            // Not while it is fetched, or looked at for a build: that makes it a new one.
            let lock = context.cache.locks().join(format!("download-{digest}.lock"));
            let _lock = match FileLock::acquire(&lock, &name, Duration::ZERO, work.events) {
                Ok(lock) => lock,
                Err(error) if error.class() == ErrorClass::State => continue,
                Err(error) => return Err(error),
            };
            let age = path.metadata().and_then(|file| file.modified()).ok().and_then(|time| time.elapsed().ok());
            if age.is_none_or(|age| age <= OLDEST_DOWNLOAD) {
                continue;
            }
            work.remove(Kind::Download, &path, "no project that is known names it, and it is old")?;
        }
    }
    Ok(())
}
