//! `list`: what the project has, and what each takes of disk and memory.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use model::Result;
use qemu::SavedState;
use serde::Serialize;

use crate::context::Context;
use crate::fork::warm_pool;
use crate::instance::awake;
use crate::instance::observe::{Observed, observe};
use crate::instance::registry::{self, is_owned};
use crate::saved_vm::cluster::SavedCluster;
use crate::saved_vm::suspend;
use crate::verbs::status::State;

/// What the project has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListReport {
    /// The instances, the default one first.
    pub instances: Vec<InstanceEntry>,
    /// The saved VMs that the tool keeps by itself.
    pub templates: Vec<SavedEntry>,
    /// The saved VMs that the user asked for.
    pub snapshots: Vec<SavedEntry>,
    /// Bytes of the frozen disks on which all of them are overlays, beside those of templates and snapshots themselves.
    pub frozen: u64,
}

/// An instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InstanceEntry {
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: State,
    /// Whether it lives no longer than the command of a `run`, or waits for one in the pool.
    pub is_fork: bool,
    /// Where its application answers, while it runs.
    pub web: Option<String>,
    /// Where its API answers, while it runs.
    pub api: Option<String>,
    /// Bytes that its files take, suspended RAM among them.
    pub disk: u64,
    /// Bytes of memory that it shares with no other, while it runs and can be looked at.
    pub memory: Option<u64>,
}

/// A saved VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SavedEntry {
    /// Its name.
    pub name: String,
    /// Bytes that its files take.
    pub disk: u64,
    /// Seconds since it was made, where the clock tells.
    pub age: Option<u64>,
    /// What runs in it: `kubernetes v1.37.2`; nothing where that cannot be read.
    pub distribution: Option<String>,
}

/// Looks.
///
/// # Errors
/// Errors of reading records and the process table.
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
    let (state, running) = match observe(context)? {
        Observed::Absent => (State::Absent, None),
        Observed::Stopped if suspend::is_kept(&paths.suspended()) => (State::Suspended, None),
        Observed::Stopped => (State::Stopped, None),
        Observed::Orphan(_) => (State::Orphan, None),
        Observed::Running(running) if awake::is_paused(&paths.vm_dir()) => (State::Paused, Some(running)),
        Observed::Running(running) => (State::Running, Some(running)),
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
            let template = SavedState::open(&entry.path()).ok()?;
            Some(SavedEntry {
                name: entry.file_name().to_string_lossy().into_owned(),
                disk: template.disk_usage(),
                age: template.age().map(|age: Duration| age.as_secs()),
                distribution: SavedCluster::read(&template.paths().cluster()).ok().map(|cluster| cluster.distribution),
            })
        })
        .collect();
    entries.sort_by(|one, other| one.name.cmp(&other.name));
    entries
}

/// Bytes that the files below a directory take which have no other name: a frozen disk that a saved VM has, too, is that
/// one's.
fn disk_usage(directory: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(directory) else { return 0 };
    let of = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => disk_usage(&entry.path()),
        Ok(metadata) if metadata.nlink() == 1 => host::files::on_disk(&metadata),
        _ => 0,
    };
    entries.filter_map(std::io::Result::ok).map(of).sum()
}
