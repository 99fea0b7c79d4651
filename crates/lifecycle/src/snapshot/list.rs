//! Which snapshots there are, what each holds, and whether its RAM can still be used.

use std::path::Path;

use model::Result;
use model::config::Accel;
use model::paths::ProjectPaths;
use model::snapshot::SnapshotName;
use qemu::Qemu;
use qemu::accelerator::Choice;
use qemu::template::Ingredients;
use serde::Serialize;

use crate::context::Context;
use crate::launch::VmLaunch;
use crate::template::Base;

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
    /// The folder of the guest image that it was made with.
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
/// Faults of reading folders.
pub fn list(context: &Context<'_>) -> Result<Vec<Entry>> {
    let names = names(&context.project.paths)?;
    // QEMU is asked once, and not at all where there is nothing to ask for.
    let qemu = if names.is_empty() { None } else { Some(Qemu::find(&context.cache, context.events)) };
    let mut entries: Vec<Entry> = names
        .into_iter()
        .map(|name| {
            let folder = context.project.paths.snapshot(&name);
            match (Base::open(folder.dir()), &qemu) {
                (Ok(base), Some(Ok(qemu))) => entry(name, &base, fits(context, qemu, &base, Base::fits_as_snapshot)),
                (Ok(base), Some(Err(fault))) => entry(name, &base, Err(fault.to_string())),
                (Ok(base), None) => entry(name, &base, Ok(())),
                (Err(why), _) => unreadable(name, folder.dir(), why),
            }
        })
        .collect();
    entries.sort_by_key(|entry| entry.created);
    Ok(entries)
}

/// The names of the project's snapshots, in order.
///
/// # Errors
/// A fault that names the folder.
pub(super) fn names(paths: &ProjectPaths) -> Result<Vec<SnapshotName>> {
    let mut names: Vec<SnapshotName> = crate::disks::entries(&paths.snapshots())?
        .iter()
        .filter_map(|folder| SnapshotName::new(folder.file_name()?.to_str()?).ok())
        .collect();
    names.sort();
    Ok(names)
}

/// Whether the RAM of a saved VM can be used with what is there now, under any accelerator that is allowed, by the `rule`
/// for VMs of its kind (ingredients, and days that a certificate lives).
///
/// # Errors
/// Why not, as a part of a sentence.
pub(crate) fn fits(
    context: &Context<'_>,
    qemu: &Qemu,
    base: &Base,
    rule: fn(&Base, &Ingredients, u32) -> Result<(), String>,
) -> Result<(), String> {
    let image = image::open(&base.cluster.image_folder, &context.cache).map_err(|fault| fault.to_string())?;
    let choices = match context.project.config.vm.accel {
        Accel::Auto => vec![Choice::ordered_tcg(), Choice::proven_kvm()],
        Accel::Tcg => vec![Choice::ordered_tcg()],
        Accel::Kvm => vec![Choice::proven_kvm()],
    };
    let node_port = context.project.config.ports.web;
    let mut why = None;
    for choice in &choices {
        let vm = VmLaunch { context, image: &image, qemu, choice, node_port };
        let now = vm.ingredients().map_err(|fault| fault.to_string());
        match now.and_then(|now| rule(base, &now, image.manifest.certificate_days)) {
            Ok(()) => return Ok(()),
            // What differs under the one that is tried first says more than that the other one is another.
            Err(difference) => why = why.or(Some(difference)),
        }
    }
    why.map_or(Ok(()), Err)
}

fn entry(name: SnapshotName, base: &Base, fits: Result<(), String>) -> Entry {
    let cluster = &base.cluster;
    Entry {
        name,
        created: Some(base.template.created()),
        age: base.template.age().map(|age| age.as_secs()),
        size: base.template.disk_usage(),
        distribution: Some(cluster.distribution.clone()),
        image: Some(cluster.image_folder.display().to_string()),
        node: Some(cluster.node.clone()),
        deployments: cluster.deployments.clone(),
        fits: fits.is_ok(),
        why_not: fits.err(),
    }
}

fn unreadable(name: SnapshotName, folder: &Path, why: String) -> Entry {
    Entry {
        name,
        created: None,
        age: None,
        size: qemu::template::usage(folder),
        distribution: None,
        image: None,
        node: None,
        deployments: Vec::new(),
        fits: false,
        why_not: Some(why),
    }
}
