//! `status`: the state of the instance and of what should answer. Each is asked once; nothing is waited for.

use std::time::Duration;

use cluster::{ApiProbe, ApiProof, ClusterClient, Credentials, Kubeconfig};
use host::files;
use model::Result;
use serde::Serialize;

use crate::context::Context;
use crate::instance::observe::{Observed, Running, observe, unexpected_end};
use crate::instance::orphans::{self, Orphan};
use crate::instance::paused::Paused;
use crate::instance::saved_cluster::SavedCluster;
use crate::instance::vm_log;
use crate::instance::wait::services::{self, ServicesState};

pub use crate::instance::state::State;

/// How long the API may take to answer.
const API_LIMIT: Duration = Duration::from_secs(2);

/// What `status` reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StatusReport {
    /// The instance.
    pub instance: String,
    /// The project's directory.
    pub project: String,
    /// The state.
    pub state: State,
    /// How the last run ended, unless `stop` ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// VMs that were left behind, and processes that hold a port that the instance wants.
    pub orphans: Vec<Orphan>,
    /// More about a running instance.
    #[serde(flatten)]
    pub running: Option<RunningReport>,
}

/// What `status` reports of a running instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunningReport {
    /// The pid of QEMU.
    pub pid: u32,
    /// The version of QEMU.
    pub qemu: String,
    /// `tcg` or `kvm`.
    pub accelerator: String,
    /// Why not KVM, where that was wanted: "KVM: guests hang on this host".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accelerator_reason: Option<String>,
    /// `kubernetes v1.37.2`.
    pub distribution: String,
    /// The guest image's fingerprint.
    pub image: String,
    /// `https://127.0.0.1:6443`.
    pub api: String,
    /// `ready`, or why not.
    pub api_state: String,
    /// Whether its Services answer: `answer`, which do not, or why that is not known.
    pub services_state: ServicesState,
    /// `http://127.0.0.1:30080`.
    pub web: String,
    /// The host's port of the guest's sshd.
    pub ssh_port: u16,
    /// The kubeconfig on the host.
    pub kubeconfig: String,
    /// Since when and why it is paused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<Paused>,
}

/// Reports the state of the instance.
///
/// # Errors
/// Errors of reading the instance's files.
pub fn run(context: &Context<'_>) -> Result<StatusReport> {
    if let Err(error) = vm_log::bound(&context.paths().log()) {
        context.events.debug(error.to_string());
    }
    let observed = observe(context)?;
    let state = State::of(&observed, &context.paths());
    let running = match observed {
        Observed::Running(running) => Some(describe(context, &running, state == State::Paused)?),
        Observed::Absent | Observed::Stopped | Observed::Orphan(_) => None,
    };
    Ok(StatusReport {
        instance: context.name.to_string(),
        project: context.project.paths.root().display().to_string(),
        state,
        ended: if running.is_some() { None } else { unexpected_end(context)? },
        orphans: orphans::look(context, running.as_ref().map(|running| running.pid))?,
        running,
    })
}

fn describe(context: &Context<'_>, running: &Running, paused: bool) -> Result<RunningReport> {
    let state_file = &running.state_file;
    let kubeconfig = context.kubeconfig();
    let ports = state_file.ports();
    let nobody_asked = |why: &str| ServicesState::Unknown(why.to_owned());
    let (api_state, services_state) = match files::read_text_optional(&kubeconfig)? {
        // The connection alone would resume it.
        _ if paused => ("paused".to_owned(), nobody_asked("it is paused")),
        None => ("unknown: there is no kubeconfig yet".to_owned(), nobody_asked("the API is not ready")),
        Some(text) => match Credentials::parse(&kubeconfig.display().to_string(), &text) {
            Ok(credentials) => {
                let proof = ApiProbe::new(ports.api_address(), &credentials)?.probe(API_LIMIT);
                let services = match proof {
                    ApiProof::Ready => services(context, &credentials.for_host(&context.name, ports.bind, ports.api)),
                    _ => nobody_asked("the API is not ready"),
                };
                (api_state(&proof), services)
            }
            Err(error) => (format!("unknown: {error}"), nobody_asked("the API is not ready")),
        },
    };
    Ok(RunningReport {
        pid: running.process.pid(),
        qemu: state_file.qemu.clone(),
        accelerator: state_file.accelerator.clone(),
        accelerator_reason: state_file.accelerator_reason.clone(),
        distribution: state_file.distribution.clone(),
        image: state_file.image.clone(),
        api: ports.api_url(),
        api_state,
        services_state,
        web: ports.web_url(),
        ssh_port: ports.ssh.number(),
        kubeconfig: kubeconfig.display().to_string(),
        paused: if paused { Paused::read(&context.paths()) } else { None },
    })
}

/// The state of the Services in a guest whose API is ours and ready.
fn services(context: &Context<'_>, kubeconfig: &Kubeconfig) -> ServicesState {
    let paths = context.paths();
    let mut known = SavedCluster::read(&paths.cluster()).map(|cluster| cluster.services).unwrap_or_default();
    let list = || ClusterClient::new(kubeconfig).and_then(|client| services::list(&client));
    services::look(&paths.vm_dir(), &mut known, &list)
}

fn api_state(proof: &ApiProof) -> String {
    match proof {
        ApiProof::Ready => "ready".to_owned(),
        ApiProof::NotReady(checks) => format!("not ready: {checks}"),
        ApiProof::Refused(why) | ApiProof::Silent(why) => format!("does not answer: {why}"),
        ApiProof::Foreign(why) => format!("another cluster answers: {why}"),
    }
}
