//! `snapshot list`: the snapshots, what is in each, and whether its RAM can still be used.

use std::path::Path;

use model::Result;
use model::snapshot::SnapshotName;
use qemu::Qemu;
use serde::Serialize;

use crate::context::Context;
use crate::saved_vm::snapshot::names;
use crate::saved_vm::{SavedVm, fits_now};

/// A snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Entry {
    /// Its name.
    pub name: SnapshotName,
    /// When it was made, in seconds since 1970; `None` where it cannot be read.
    pub created: Option<u64>,
    /// Its age in seconds; `None` also where the host's clock has gone back.
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
    /// Whether a restore can use its RAM. Otherwise it boots the disk, if that can be used.
    pub fits: bool,
    /// Why its RAM cannot be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why_not: Option<String>,
}

/// The project's snapshots, the oldest first.
///
/// # Errors
/// Errors of reading directories.
pub fn list(context: &Context<'_>) -> Result<Vec<Entry>> {
    let names = names(&context.project.paths)?;
    // QEMU is looked for once, and only where there is a snapshot.
    let qemu = if names.is_empty() { None } else { Some(Qemu::find(&context.cache, context.events)) };
    let mut entries: Vec<Entry> = names
        .into_iter()
        .map(|name| {
            let directory = context.project.paths.snapshot(&name);
            match (SavedVm::open(directory.dir()), &qemu) {
                (Ok(saved_vm), Some(Ok(qemu))) => {
                    entry(name, &saved_vm, fits_now(context, qemu, &saved_vm, SavedVm::fits_as_snapshot))
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
