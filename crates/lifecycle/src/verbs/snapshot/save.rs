//! `snapshot save`.

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
use crate::instance::saved_cluster::SavedCluster;
use crate::instance::wait::cluster_now::{self, ClusterNow};
use crate::saved_vm::save::save_running;
use crate::steps::{Outcome, Steps};

/// How long the API may take to list the Deployments.
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
    /// How long the guest was paused, in milliseconds.
    pub paused_ms: u64,
    /// The Deployments in it, `NAMESPACE/NAME`.
    pub deployments: Vec<String>,
}

/// Saves the running instance, which runs on. A snapshot of this name is an error, unless it is to be replaced: then it
/// exists until the new one is complete.
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
        let saved = save_running(context, &running, target.dir(), &what, &cluster)?;
        let report = SaveReport {
            name: name.clone(),
            instance: context.name.to_string(),
            size: saved.saved_state.disk_usage(),
            paused_ms: u64::try_from(saved.paused.as_millis()).unwrap_or(u64::MAX),
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

/// The generation of the saved VM in `directory`, if there is one.
fn generation(directory: &Path) -> Option<Generation> {
    SavedState::open(directory).ok().map(|saved_state| saved_state.generation().clone())
}

/// The Deployments in the cluster, for people to read. A snapshot is complete without them.
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

fn taken(context: &Context<'_>, name: &SnapshotName) -> Error {
    Error::new(ErrorClass::State, format!("there is a snapshot {name} already"))
        .next(context.command(&format!("snapshot save {name} --replace")))
        .next("k3s-vm snapshot list    # which there are")
}
