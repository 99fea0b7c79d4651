//! `list`: the instances, templates and snapshots of the project, and the disk space and memory that each takes.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use model::Result;
use qemu::SavedState;
use serde::Serialize;

use crate::context::Context;
use crate::fork::warm_pool;
use crate::instance::observe::{Observed, observe};
use crate::instance::registry::{self, is_owned};
use crate::instance::saved_cluster::SavedCluster;
use crate::instance::state::State;

/// What the project has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListReport {
    /// The instances, the default one first.
    pub instances: Vec<InstanceEntry>,
    /// The saved VMs that the tool makes by itself.
    pub templates: Vec<SavedEntry>,
    /// The saved VMs that the user named.
    pub snapshots: Vec<SavedEntry>,
    /// Bytes of the backing files that are not at the same time the disk of a template or a snapshot.
    pub frozen: u64,
}

/// An instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InstanceEntry {
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: State,
    /// Whether it is a fork: it lives no longer than the command of a `run`, or waits for one in the warm pool.
    pub is_fork: bool,
    /// The URL of its application, while it runs.
    pub web: Option<String>,
    /// The URL of its API, while it runs.
    pub api: Option<String>,
    /// Bytes that its files take, including suspended RAM.
    pub disk: u64,
    /// Bytes of memory that it shares with no other process, while it runs and they can be read.
    pub memory: Option<u64>,
}

/// A saved VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SavedEntry {
    /// Its name.
    pub name: String,
    /// Bytes that its files take.
    pub disk: u64,
    /// Its age in seconds; `None` where the host's clock has gone back.
    pub age: Option<u64>,
    /// What runs in it: `kubernetes v1.37.2`; `None` where that cannot be read.
    pub distribution: Option<String>,
}

/// Lists what the project has.
///
/// # Errors
/// Errors of reading state files and the process table.
pub fn run(context: &Context<'_>) -> Result<ListReport> {
    let project = &context.project.paths;
    registry::sweep(project, context.events)?;
    let entries = registry::names(project).into_iter().map(|name| entry(&context.with_name(name)));
    Ok(ListReport {
        instances: entries.collect::<Result<_>>()?,
        templates: saved(&project.templates()),
        snapshots: saved(&project.snapshots()),
        frozen: disk_usage(&project.disks()),
    })
}

fn entry(context: &Context<'_>) -> Result<InstanceEntry> {
    let paths = context.paths();
    let observed = observe(context)?;
    let state = State::of(&observed, &paths);
    let running = match observed {
        Observed::Running(running) => Some(running),
        Observed::Absent | Observed::Stopped | Observed::Orphan(_) => None,
    };
    let project = &context.project.paths;
    let directory = if context.is_default() { paths.vm_dir() } else { paths.dir().to_owned() };
    let ports = running.as_ref().map(|running| running.state_file.ports());
    Ok(InstanceEntry {
        name: context.name.suffix().unwrap_or(context.name.as_str()).to_owned(),
        state,
        is_fork: is_owned(project, &context.name) || warm_pool::is_waiting(project, &context.name),
        web: ports.map(|ports| ports.web_url()),
        api: ports.map(|ports| ports.api_url()),
        disk: disk_usage(&directory),
        memory: running.and_then(|running| host::process_table::private_memory(running.process.pid())),
    })
}

fn saved(directory: &Path) -> Vec<SavedEntry> {
    let mut entries: Vec<SavedEntry> = std::fs::read_dir(directory)
        .into_iter()
        .flatten()
        .filter_map(std::io::Result::ok)
        .filter_map(|entry| {
            let saved_state = SavedState::open(&entry.path()).ok()?;
            Some(SavedEntry {
                name: entry.file_name().to_string_lossy().into_owned(),
                disk: saved_state.disk_usage(),
                age: saved_state.age().map(|age: Duration| age.as_secs()),
                distribution: SavedCluster::read(&saved_state.paths().cluster())
                    .ok()
                    .map(|cluster| cluster.distribution),
            })
        })
        .collect();
    entries.sort_by(|one, other| one.name.cmp(&other.name));
    entries
}

/// Bytes of the files below a directory that have no other name. A backing file that is also the disk of a saved VM counts
/// for the saved VM.
fn disk_usage(directory: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(directory) else { return 0 };
    let of = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => disk_usage(&entry.path()),
        Ok(metadata) if metadata.nlink() == 1 => host::files::on_disk(&metadata),
        _ => 0,
    };
    entries.filter_map(std::io::Result::ok).map(of).sum()
}
