//! `snapshot save|list|rm|restore`: states of the cluster that the user wants to keep, by name.
//!
//! A snapshot is the project's, not an instance's: any instance can be put back to it. How VMs are saved is in
//! `template`, how they are started in `start`.

mod list;
mod restore;

use std::path::Path;
use std::time::Duration;

use bytesize::ByteSize;
use cluster::ClusterClient;
use model::snapshot::SnapshotName;
use model::{Error, ErrorClass, Generation, Result};
use qemu::saved_state::SavedState;
use serde::Serialize;

use crate::context::Context;
use crate::instance::awake;
use crate::instance::lock;
use crate::instance::observe::{Observed, Running, not_running, observe};
use crate::instance::wait::cluster_now::{self, ClusterNow};
use crate::saved_vm::cluster::SavedCluster;
use crate::saved_vm::template::{self, SavedVm};
use crate::steps::{Outcome, Steps};

pub(crate) use list::fits;
pub use list::{Entry, list};
pub use restore::restore;

/// How long the API may take to tell what is in the cluster.
const LIST_LIMIT: Duration = Duration::from_secs(5);

/// What was saved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SaveReport {
    /// The snapshot.
    pub name: SnapshotName,
    /// The instance that was saved.
    pub instance: String,
    /// Bytes on the disk.
    pub size: u64,
    /// How long the guest stood still, in milliseconds.
    pub paused_ms: u64,
    /// The Deployments in it, `NAMESPACE/NAME`.
    pub deployments: Vec<String>,
}

/// What was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RemoveReport {
    /// The snapshots.
    pub removed: Vec<SnapshotName>,
    /// Bytes on the disk that are free again, once no VM that was restored from them runs.
    pub bytes: u64,
}

/// Saves the running instance, which goes on. A snapshot of this name is in the way, unless it is to be replaced: then it
/// is there until the new one is whole.
///
/// # Errors
/// State when the instance does not run or the name is taken; Host and State where there is no room; Guest, Timeout and
/// Failed errors of saving, after which the instance runs on.
pub fn save(context: &Context<'_>, name: &SnapshotName, replace: bool) -> Result<SaveReport> {
    let _lock = lock::of(context)?;
    let Observed::Running(running) = observe(context)? else { return Err(not_running(context)) };
    let target = context.project.paths.snapshot(name);
    if !replace && target.dir().symlink_metadata().is_ok() {
        return Err(taken(context, name));
    }
    awake::ensure(context)?;
    let cluster = match cluster_now::look(context, &running, context.project.config.timeouts.save)? {
        ClusterNow::Ready(cluster) => *cluster,
        ClusterNow::NotSeenReady(why) => {
            return Err(Error::new(ErrorClass::State, format!("{} is not Ready", context.name))
                .because(why)
                .next(format!("{}    # waits until it is", context.command("start"))));
        }
    };
    let mut steps = Steps::new(context.events, 1);
    let deployments = deployments(context, &running, &cluster);
    let cluster = cluster.with_applied(None).with_deployments(deployments.clone());
    let before = generation(target.dir());
    let saved = steps.run(&format!("Saving the snapshot {name}"), || {
        let what = format!("the snapshot {name}");
        let kept = template::save_running(context, &running, target.dir(), &what, &cluster)?;
        let report = SaveReport {
            name: name.clone(),
            instance: context.name.to_string(),
            size: kept.saved_state.disk_usage(),
            paused_ms: u64::try_from(kept.paused.as_millis()).unwrap_or(u64::MAX),
            deployments,
        };
        let fact = format!("{}, the guest was paused for {} ms", ByteSize(report.size), report.paused_ms);
        Ok(Outcome::Done(report, fact))
    });
    saved.map_err(|error| match (error.class(), generation(target.dir())) {
        (ErrorClass::Interrupted, Some(now)) if Some(&now) != before.as_ref() => {
            error.because(format!("the snapshot {name} is saved"))
        }
        (ErrorClass::Interrupted, Some(_)) => error.because(format!("the snapshot {name} is the one from before")),
        (ErrorClass::Interrupted, None) => error.because("nothing was saved"),
        _ => error,
    })
}

/// The generation of the saved VM in `directory`, where there is one.
fn generation(directory: &Path) -> Option<Generation> {
    SavedState::open(directory).ok().map(|template| template.generation().clone())
}

/// Removes snapshots; all of them must be there. A VM that was restored from one goes on.
///
/// # Errors
/// State when one is not there; an error that names the path.
pub fn remove(context: &Context<'_>, names: &[SnapshotName]) -> Result<RemoveReport> {
    for name in names {
        if !context.project.paths.snapshot(name).dir().is_dir() {
            return Err(absent(context, name));
        }
    }
    let mut bytes = 0;
    for name in names {
        let paths = context.project.paths.snapshot(name);
        bytes += template::usage_without_disk(&paths);
        template::discard(context, paths.dir(), template::PATIENCE)?;
    }
    let collected = context.pool().lock(context.events)?.collect(context.events)?;
    Ok(RemoveReport { removed: names.to_vec(), bytes: bytes + collected.bytes })
}

/// What is in the cluster, for people. A snapshot is as good without it.
fn deployments(context: &Context<'_>, running: &Running, cluster: &SavedCluster) -> Vec<String> {
    let ports = running.state_file.ports();
    let look = || -> Result<Vec<String>> {
        let kubeconfig = cluster.admin().for_host(&context.name, ports.bind, ports.api);
        let names = ClusterClient::new(&kubeconfig)?.applications(LIST_LIMIT)?;
        Ok(names.into_iter().map(|one| format!("{}/{}", one.namespace, one.name)).collect())
    };
    look().unwrap_or_else(|error| {
        context.events.debug(format!("the snapshot does not tell what is in it: {error}"));
        Vec::new()
    })
}

/// The snapshot.
///
/// # Errors
/// State when there is none or it cannot be used.
pub(crate) fn open(context: &Context<'_>, name: &SnapshotName) -> Result<SavedVm> {
    let directory = context.project.paths.snapshot(name);
    if !directory.dir().is_dir() {
        return Err(absent(context, name));
    }
    SavedVm::open(directory.dir()).map_err(|why| {
        Error::new(ErrorClass::State, format!("the snapshot {name} cannot be used"))
            .because(why)
            .next(format!("k3s-vm snapshot rm {name}"))
            .next("k3s-vm snapshot list")
    })
}

fn taken(context: &Context<'_>, name: &SnapshotName) -> Error {
    Error::new(ErrorClass::State, format!("there is a snapshot {name} already"))
        .next(context.command(&format!("snapshot save {name} --replace")))
        .next("k3s-vm snapshot list    # which there are")
}

fn absent(context: &Context<'_>, name: &SnapshotName) -> Error {
    let error = Error::new(ErrorClass::State, format!("there is no snapshot {name}"));
    let names = list::names(&context.project.paths).unwrap_or_default();
    match names.as_slice() {
        [] => error.because("the project has none").next(context.command(&format!("snapshot save {name}"))),
        names => {
            let names: Vec<&str> = names.iter().map(SnapshotName::as_str).collect();
            error.because(format!("there are {}", names.join(", "))).next("k3s-vm snapshot list")
        }
    }
}
