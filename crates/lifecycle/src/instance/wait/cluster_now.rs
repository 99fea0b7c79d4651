//! Whether the cluster of a running VM is Ready now.

use std::time::Duration;

use cluster::credentials::LONGEST_KUBECONFIG;
use cluster::{ApiProbe, ClusterClient, Credentials};
use host::wait::Look;
use model::{ErrorClass, Result};
use qemu::Agent;

use crate::context::Context;
use crate::instance::launch::distribution;
use crate::instance::observe::Running;
use crate::instance::saved_cluster::SavedCluster;
use crate::instance::wait::guest;

/// How long each of the three looks may take at most.
const LIMIT: Duration = Duration::from_secs(5);

/// What was seen of the cluster.
#[derive(Debug)]
pub(crate) enum ClusterNow {
    /// It is Ready.
    Ready(Box<SavedCluster>),
    /// It was not seen Ready, for this reason.
    NotSeenReady(String),
}

impl ClusterNow {
    /// The cluster, where it is Ready.
    pub(crate) fn ready(self) -> Option<SavedCluster> {
        match self {
            ClusterNow::Ready(cluster) => Some(*cluster),
            ClusterNow::NotSeenReady(_) => None,
        }
    }
}

/// Looks once whether the cluster is Ready.
///
/// Where a start has waited for it, the file that it wrote is the answer. Otherwise guest, API and node are asked, each for
/// `patience` at most, and the file is written.
///
/// # Errors
/// Interrupted, and errors of writing.
pub(crate) fn look(context: &Context<'_>, running: &Running, patience: Duration) -> Result<ClusterNow> {
    let file = context.paths().cluster();
    if let Ok(cluster) = SavedCluster::read(&file) {
        return Ok(ClusterNow::Ready(Box::new(cluster)));
    }
    let seen = match ask(context, running, patience.min(LIMIT)) {
        Ok(seen) => seen,
        Err(error) if error.class() == ErrorClass::Interrupted => return Err(error),
        Err(error) => ClusterNow::NotSeenReady(error.to_string()),
    };
    match &seen {
        ClusterNow::Ready(cluster) => cluster.write(&file)?,
        ClusterNow::NotSeenReady(why) => context.events.debug(format!("the cluster was not seen Ready: {why}")),
    }
    Ok(seen)
}

fn ask(context: &Context<'_>, running: &Running, limit: Duration) -> Result<ClusterNow> {
    let image = guest_image::open(&running.state_file.image_directory, &context.cache)?;
    let (manifest, ports) = (&image.manifest, running.state_file.ports());
    let mut agent = Agent::connect(&context.paths().vm_dir(), limit)?;
    let Some(bytes) = agent.read_file(&manifest.kubeconfig, LONGEST_KUBECONFIG, limit)? else {
        return Ok(ClusterNow::NotSeenReady(format!("{} is not written yet", manifest.kubeconfig)));
    };
    // Proving the API needs a guest whose clock is right.
    guest::set_clock_by(&mut agent, context.events);
    let admin = Credentials::parse(&manifest.kubeconfig, &String::from_utf8_lossy(&bytes))?;
    if let Look::NotYet(why) = ApiProbe::new(ports.api_address(), &admin)?.look(limit)? {
        return Ok(ClusterNow::NotSeenReady(why));
    }
    let client = ClusterClient::new(&admin.for_host(&context.name, ports.bind, ports.api))?;
    Ok(match client.look_node(&manifest.node_name, limit)? {
        Look::NotYet(why) => ClusterNow::NotSeenReady(why),
        Look::Ready(version) => ClusterNow::Ready(Box::new(SavedCluster::pristine(
            &image.directory,
            &distribution(&image),
            &manifest.node_name,
            &version,
            &admin,
        ))),
    })
}
