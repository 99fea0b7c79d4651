//! Prunes the shared cache: guest images without users, except the newest of each kind, and old downloads that no project
//! names.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use host::files;
use host::lock::FileLock;
use model::Result;
use model::guest_image::GuestImage;
use model::paths::ProjectPaths;

use super::report::{Kept, Kind, Work, usage};
use crate::context::Context;
use crate::directory::entries;
use crate::image_users::{self, Users};

/// A download that is younger stays: a build may be about to use it.
const OLDEST_DOWNLOAD: Duration = Duration::from_secs(30 * 24 * 60 * 60);

pub(super) fn prune(context: &Context<'_>, work: &mut Work) -> Result<()> {
    let images = images(context)?;
    let newest = newest(&images);
    for (image, _) in &images {
        if newest.contains(&image.directory) {
            continue;
        }
        // Locked from before its users are looked for until it is gone: a project that chooses it now waits, and then does
        // not find it.
        let Some(_alone) = image_users::alone(&image.directory)? else { continue };
        match image_users::users(&image.directory) {
            Users::Project(_) => {}
            Users::None => remove(context, &image.directory, work)?,
            Users::Unknown(why) => {
                work.kept.push(Kept { path: image.directory.clone(), why, bytes: usage(&image.directory) });
            }
        }
    }
    downloads(context, &images, work)
}

/// The complete images, each with the time when it was made.
fn images(context: &Context<'_>) -> Result<Vec<(GuestImage, SystemTime)>> {
    let mut images = Vec::new();
    for directory in entries(&context.cache.images())? {
        // An image that is being built cannot be opened.
        if let Ok(image) = guest_image::open(&directory, &context.cache)
            && let Ok(made) =
                directory.join(model::guest_image::file::MANIFEST).metadata().and_then(|file| file.modified())
        {
            images.push((image, made));
        }
    }
    Ok(images)
}

/// The directories of the newest image of each provider and distribution, which the next project will want.
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

/// Removes an image under the lock of its builder. It is renamed first, so that an incomplete removal is not taken for an
/// image.
fn remove(context: &Context<'_>, directory: &Path, work: &mut Work) -> Result<()> {
    let name = directory.file_name().unwrap_or_default().to_string_lossy();
    let lock = context.cache.locks().join(format!("{name}.lock"));
    let Some(_lock) = FileLock::try_acquire(&lock)? else { return Ok(()) };
    let why = "no project uses it, and there is a newer one";
    if work.dry_run {
        return work.remove(Kind::GuestImage, directory, why);
    }
    let bytes = usage(directory);
    let partial = directory.with_file_name(format!("{name}.partial"));
    files::remove(&partial)?;
    files::rename(directory, &partial)?;
    files::remove(&partial)?;
    work.found(Kind::GuestImage, directory, why, bytes);
    Ok(())
}

/// Removes old downloads. Their names have the digest by which `k3s.lock` of a project names them.
fn downloads(context: &Context<'_>, images: &[(GuestImage, SystemTime)], work: &mut Work) -> Result<()> {
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
            // Looked at again under the lock: a build that uses it meanwhile has made it young.
            let lock = context.cache.locks().join(format!("download-{digest}.lock"));
            let Some(_lock) = FileLock::try_acquire(&lock)? else { continue };
            let age = path.metadata().and_then(|file| file.modified()).ok().and_then(|time| time.elapsed().ok());
            if age.is_none_or(|age| age <= OLDEST_DOWNLOAD) {
                continue;
            }
            work.remove(Kind::Download, &path, "no project that is known names it, and it is old")?;
        }
    }
    Ok(())
}
