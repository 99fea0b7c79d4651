//! Which snapshots there are, what each holds, and whether its RAM can still be used.

use std::path::Path;

use model::Result;
use model::config::Accel;
use model::paths::ProjectPaths;
use model::snapshot::SnapshotName;
use qemu::Qemu;
use qemu::accelerator::Choice;
use qemu::saved_state::CompatibilityKey;
use serde::Serialize;

use crate::context::Context;
use crate::instance::launch::VmLaunch;
use crate::saved_vm::template::SavedVm;

/// A snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Entry {
    /// Its name.
    pub name: SnapshotName,
    /// When it was made, in seconds since 1970; nothing where it cannot be read.
    pub created: Option<u64>,
    /// How many seconds ago that was; nothing also where the host's clock has gone back.
    pub age: Option<u64>,
    /// Bytes on the disk.
    pub size: u64,
    /// What runs in the guest: `kubernetes v1.37.2`.
    pub distribution: Option<String>,
    /// The directory of the guest image that it was made with.
    pub image: Option<String>,
    /// The node's name.
    pub node: Option<String>,
    /// The Deployments in it, `NAMESPACE/NAME`.
    pub deployments: Vec<String>,
    /// Whether a restore can use its RAM; otherwise it boots its disk, if that can be used.
    pub fits: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why_not: Option<String>,
}

/// The project's snapshots, the oldest first.
///
/// # Errors
/// Errors of reading directories.
pub fn list(context: &Context<'_>) -> Result<Vec<Entry>> {
    let names = names(&context.project.paths)?;
    // QEMU is asked once, and not at all where there is nothing to ask for.
    let qemu = if names.is_empty() { None } else { Some(Qemu::find(&context.cache, context.events)) };
    let mut entries: Vec<Entry> = names
        .into_iter()
        .map(|name| {
            let directory = context.project.paths.snapshot(&name);
            match (SavedVm::open(directory.dir()), &qemu) {
                (Ok(saved_vm), Some(Ok(qemu))) => {
                    entry(name, &saved_vm, fits(context, qemu, &saved_vm, SavedVm::fits_as_snapshot))
                }
                (Ok(saved_vm), Some(Err(error))) => entry(name, &saved_vm, Err(error.to_string())),
                (Ok(saved_vm), None) => entry(name, &saved_vm, Ok(())),
                (Err(why), _) => unreadable(name, directory.dir(), why),
            }
        })
        .collect();
    entries.sort_by_key(|entry| entry.created);
    Ok(entries)
}

/// The names of the project's snapshots, in order.
///
/// # Errors
/// An error that names the directory.
pub(super) fn names(paths: &ProjectPaths) -> Result<Vec<SnapshotName>> {
    let mut names: Vec<SnapshotName> = crate::saved_vm::backing_files::entries(&paths.snapshots())?
        .iter()
        .filter_map(|directory| SnapshotName::new(directory.file_name()?.to_str()?).ok())
        .collect();
    names.sort();
    Ok(names)
}

/// Whether the RAM of a saved VM can be used with what is there now, under any accelerator that is allowed, by the `rule`
/// for VMs of its kind (compatibility key, and days that a certificate lives).
///
/// # Errors
/// Why not, as a part of a sentence.
pub(crate) fn fits(
    context: &Context<'_>,
    qemu: &Qemu,
    saved_vm: &SavedVm,
    rule: fn(&SavedVm, &CompatibilityKey, u32) -> Result<(), String>,
) -> Result<(), String> {
    let image =
        guest_image::open(&saved_vm.cluster.image_directory, &context.cache).map_err(|error| error.to_string())?;
    let choices = match context.project.config.vm.accel {
        Accel::Auto => vec![Choice::ordered_tcg(), Choice::proven_kvm()],
        Accel::Tcg => vec![Choice::ordered_tcg()],
        Accel::Kvm => vec![Choice::proven_kvm()],
    };
    let node_port = context.project.config.ports.web;
    let mut why = None;
    for choice in &choices {
        let vm = VmLaunch { context, image: &image, qemu, choice, node_port };
        let now = vm.compatibility_key().map_err(|error| error.to_string());
        match now.and_then(|now| rule(saved_vm, &now, image.manifest.certificate_days)) {
            Ok(()) => return Ok(()),
            // What differs under the one that is tried first says more than that the other one is another.
            Err(difference) => why = why.or(Some(difference)),
        }
    }
    why.map_or(Ok(()), Err)
}

fn entry(name: SnapshotName, saved_vm: &SavedVm, fits: Result<(), String>) -> Entry {
    let cluster = &saved_vm.cluster;
    Entry {
        name,
        created: Some(saved_vm.saved_state.created()),
        age: saved_vm.saved_state.age().map(|age| age.as_secs()),
        size: saved_vm.saved_state.disk_usage(),
        distribution: Some(cluster.distribution.clone()),
        image: Some(cluster.image_directory.display().to_string()),
        node: Some(cluster.node.clone()),
        deployments: cluster.deployments.clone(),
        fits: fits.is_ok(),
        why_not: fits.err(),
    }
}

fn unreadable(name: SnapshotName, directory: &Path, why: String) -> Entry {
    Entry {
        name,
        created: None,
        age: None,
        size: qemu::saved_state::usage(directory),
        distribution: None,
        image: None,
        node: None,
        deployments: Vec::new(),
        fits: false,
        why_not: Some(why),
    }
}
