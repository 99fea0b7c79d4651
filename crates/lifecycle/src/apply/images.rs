//! Container images of the project: they are built, packed without a container engine, and loaded into the guest if it
//! lacks them.

pub(crate) mod limit;
pub(crate) mod sources;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cluster::{ImageArchive, ImageName, ImageRecipe};
use host::command::Command;
use host::files;
use host::lock::FileLock;
use model::config::{ContainerImage, ContainerImageSource};
use model::paths::InstancePaths;
use model::{Error, ErrorClass, Event, EventSink, Result};
use qemu::Agent;
use qemu::agent::{GuestCommand, GuestScript};
use serde::Serialize;

use crate::context::Context;
use crate::instance::ssh::guest_command;
use crate::project::Project;
use crate::project::applied_inputs::AppliedInputs;

/// The directory in the guest with a record for each image name: the digest of what was imported. It is on the instance's
/// disk, as the images are, so that both are lost together.
const IMPORTED: &str = "/var/lib/k3s-vm/imported-images";
/// Exits with 0 when every image is there with the recorded content, with 1 when one is not. It has three arguments for each
/// image: the file of the record, the digest, the name.
const PRESENCE: GuestScript = GuestScript::new(
    r#"PATH=$PATH:/usr/local/bin
there=$(ctr -n k8s.io images ls -q) || exit 1
while [ $# -gt 0 ]; do
    [ "$(cat "$1" 2>/dev/null)" = "$2" ] && printf '%s\n' "$there" | grep -qxF -e "$3" || exit 1
    shift 3
done
"#,
);
/// Imports standard input, syncs, and writes the records. containerd unpacks layers without a sync: without it, after a loss
/// of power an image that counts as imported would have empty files. The arguments are the directory of the records, then
/// two for each image: the file of the record, and the digest.
const IMPORT: GuestScript = GuestScript::new(
    r#"set -e
PATH=$PATH:/usr/local/bin
ctr -n k8s.io images import - >&2
sync
mkdir -p "$1"
shift
while [ $# -gt 0 ]; do
    printf %s "$2" > "$1"
    shift 2
done
"#,
);

/// A container image that the guest has now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LoadedImage {
    /// Its full name.
    pub name: String,
    /// The digest of its content.
    pub digest: String,
    /// Whether it was transferred now. Otherwise the guest had it already.
    pub transferred: bool,
}

/// Builds, packs and loads the images of the configuration.
///
/// # Errors
/// Errors of the build command, a Config error for missing files, and errors of the transfer.
pub(crate) fn load_configured(context: &Context<'_>) -> Result<Vec<LoadedImage>> {
    let mut loaded = Vec::new();
    for image in &context.project.config.images {
        let building = build_lock(&context.project, context.events)?;
        let archive = prepare(&context.project, &context.paths(), image, context.events)?;
        loaded.extend(load(context, &archive, || drop(building))?);
    }
    Ok(loaded)
}

/// Takes the lock that is held while an image is built and its archive is read: the forks of a project build into the same
/// files.
fn build_lock(project: &Project, events: &dyn EventSink) -> Result<FileLock> {
    let timeouts = &project.config.timeouts;
    let patience = timeouts.lock.max(timeouts.container_build);
    FileLock::acquire(&project.paths.build_lock(), "the build of container images", patience, events)
}

/// Whether the images of the configuration are those that were applied. They are built and packed to find out, unless their
/// sources are the same.
///
/// # Errors
/// As [`load_configured`], without errors of the transfer.
pub(crate) fn are_as_applied(
    project: &Project,
    paths: &InstancePaths,
    applied: &AppliedInputs,
    events: &dyn EventSink,
) -> Result<bool> {
    let images = &project.config.images;
    if applied.sources.is_some() && sources::digest(project.paths.root(), images)? == applied.sources {
        return Ok(true);
    }
    let mut digests = Vec::new();
    for image in images {
        let _building = build_lock(project, events)?;
        digests.extend(named(&prepare(project, paths, image, events)?));
    }
    Ok(digests == applied.images)
}

/// Name and digest of each image in the archive; an empty digest where it has none.
fn named(archive: &ImageArchive) -> Vec<(String, String)> {
    let images = archive.images().iter();
    images
        .flat_map(|image| {
            let digest = image.config_digest.map(|digest| digest.to_string()).unwrap_or_default();
            image.names.iter().map(move |name| (name.as_str().to_owned(), digest.clone()))
        })
        .collect()
}

/// Makes the archive of one configured image.
fn prepare(
    project: &Project,
    paths: &InstancePaths,
    image: &ContainerImage,
    events: &dyn EventSink,
) -> Result<ImageArchive> {
    let root = project.paths.root();
    if let Some(build) = &image.build {
        events.progress(&image.name, "building".to_owned());
        events.debug(format!("{}: {build}", image.name));
        Command::new("/bin/sh")
            .args(["-e", "-c", build])
            .current_dir(root)
            .deadline(project.config.timeouts.container_build)
            .run_streaming(events, &mut |line| events.progress(&image.name, line.to_owned()))
            .map_err(|error| {
                error
                    .context(format!("the container image {} could not be built", image.name))
                    .next("correct `build` of [[images]] in .k3s-vm/config.toml, or the sources that it builds")
            })?;
        events.emit(Event::TaskFinished { task: image.name.clone() });
    }
    match &image.source {
        ContainerImageSource::Archive(file) => {
            let archive = ImageArchive::open(&root.join(file), Some(&image.name))?;
            check_name(&archive, &ImageName::parse(&image.name)?, file)?;
            Ok(archive)
        }
        ContainerImageSource::Files { files, entrypoint } => {
            let recipe = ImageRecipe {
                name: ImageName::parse(&image.name)?,
                entrypoint: entrypoint.clone(),
                files: files.iter().map(|(inside, outside)| (inside.clone(), root.join(outside))).collect(),
                environment: Vec::new(),
                architecture: std::env::consts::ARCH.to_owned(),
            };
            let directory = paths.image_archives();
            files::create_private_dir(&directory)?;
            let destination = directory.join(archive_file_name(recipe.name.as_str()));
            recipe.pack(&destination)?;
            ImageArchive::open(&destination, None)
        }
    }
}

/// Checks that the archive has the image that the configuration names.
fn check_name(archive: &ImageArchive, name: &ImageName, file: &str) -> Result<()> {
    let names: Vec<&str> = archive.images().iter().flat_map(|image| &image.names).map(ImageName::as_str).collect();
    if names.contains(&name.as_str()) {
        return Ok(());
    }
    Err(Error::new(ErrorClass::Config, format!("{file} does not contain the image {}", name.as_str()))
        .because(format!("it has {}", names.join(", ")))
        .next("correct `name` or `archive` of [[images]] in .k3s-vm/config.toml"))
}

fn archive_file_name(image: &str) -> PathBuf {
    let safe: String = image.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect();
    Path::new(&safe).with_added_extension("tar")
}

/// Loads the images of an archive into the guest, unless it has each of them with this content.
///
/// # Errors
/// Errors of ssh and of containerd's import.
pub(crate) fn load_archive(context: &Context<'_>, archive: &ImageArchive) -> Result<Vec<LoadedImage>> {
    load(context, archive, || ())
}

/// The same. `read` is called once the archive's file is no longer needed.
fn load(context: &Context<'_>, archive: &ImageArchive, read: impl FnOnce()) -> Result<Vec<LoadedImage>> {
    let (paths, events, deadline) = (&context.paths(), context.events, context.project.config.timeouts.load);
    let images = named(archive);
    if !images.iter().any(|(_, digest)| digest.is_empty()) && guest_has(paths, &images, deadline)? {
        return Ok(report(images, false));
    }
    let names: Vec<&str> = images.iter().map(|(name, _)| name.as_str()).collect();
    events.progress("load", format!("sending {}", names.join(", ")));
    // The whole archive is checked before its first byte goes to the guest.
    let normalized = NormalizedArchive::write(paths, archive)?;
    read();
    let arguments = import_arguments(&images);
    let arguments: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
    guest_command(paths, IMPORT, &arguments, deadline)?
        .input_file(&normalized.path)
        .run_streaming(events, &mut |line| events.progress("load", line.to_owned()))
        .map_err(|error| {
            error
                .context(format!("the guest could not import {}", names.join(", ")))
                .next("k3s-vm logs    # shows whether the guest is in trouble, for example out of disk")
        })?;
    Ok(report(images, true))
}

/// The archive with full image names, in a file that is removed when this is dropped.
struct NormalizedArchive {
    path: PathBuf,
}

impl NormalizedArchive {
    fn write(paths: &InstancePaths, archive: &ImageArchive) -> Result<Self> {
        let directory = paths.image_archives();
        files::create_private_dir(&directory)?;
        archive.check_size(&limit::of(paths, 1)?)?;
        let normalized = NormalizedArchive { path: directory.join(format!("import-{}.tar", std::process::id())) };
        let shown = normalized.path.display().to_string();
        let mut file = std::fs::File::create(&normalized.path)
            .map_err(|error| Error::new(ErrorClass::Host, format!("cannot write {shown}")).because(error))?;
        archive.write_normalized(&mut file)?;
        Ok(normalized)
    }
}

impl Drop for NormalizedArchive {
    fn drop(&mut self) {
        // `reset` removes it otherwise; the import itself is not affected.
        let _ = files::remove(&self.path);
    }
}

fn report(images: Vec<(String, String)>, transferred: bool) -> Vec<LoadedImage> {
    images.into_iter().map(|(name, digest)| LoadedImage { name, digest, transferred }).collect()
}

/// Whether the guest has all images. Asked through the agent, since an ssh handshake costs an emulated guest seconds.
fn guest_has(paths: &InstancePaths, images: &[(String, String)], deadline: Duration) -> Result<bool> {
    let mut agent = Agent::connect(&paths.vm_dir(), deadline)?;
    let output = agent.exec(&GuestCommand::shell(PRESENCE, presence_arguments(images)), deadline)?;
    match output.code {
        0 => Ok(true),
        1 => Ok(false),
        code => Err(Error::new(ErrorClass::Guest, "the guest could not be asked for its container images")
            .because(format!("the shell ended with {code}: {}", String::from_utf8_lossy(&output.stderr).trim()))),
    }
}

/// The file in the guest with the record of what was imported under this name.
fn record_file(name: &str) -> String {
    format!("{IMPORTED}/{}", name.replace('/', "%").replace('@', "_"))
}

fn presence_arguments(images: &[(String, String)]) -> Vec<String> {
    images.iter().flat_map(|(name, digest)| [record_file(name), digest.clone(), name.clone()]).collect()
}

fn import_arguments(images: &[(String, String)]) -> Vec<String> {
    let known = images.iter().filter(|(_, digest)| !digest.is_empty());
    let records = known.flat_map(|(name, digest)| [record_file(name), digest.clone()]);
    std::iter::once(IMPORTED.to_owned()).chain(records).collect()
}

#[cfg(test)]
mod tests;
