//! What is reported of a VM that was started.

use std::time::Duration;

use serde::Serialize;

use super::plan::From;
use crate::apply::ApplyReport;
use crate::context::Context;
use crate::instance::observe::Running;
use crate::instance::wait::services::ServicesState;

/// How to start.
#[derive(Debug, Clone, Copy)]
pub struct StartOptions {
    /// Whether to wait for the cluster and the application; otherwise it is over once QEMU runs.
    pub wait: bool,
    /// Instead of the configured deadline.
    pub timeout: Option<Duration>,
}

/// What is there after a start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StartReport {
    /// The instance.
    pub instance: String,
    /// Whether it ran before.
    pub was_running: bool,
    /// What it began from.
    pub from: From,
    /// The pid of QEMU.
    pub pid: u32,
    /// `tcg` or `kvm`.
    pub accelerator: String,
    /// Why not KVM, where that was wanted: "KVM: guests hang on this host".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accelerator_reason: Option<String>,
    /// `kubernetes v1.37.2`.
    pub distribution: String,
    /// `https://127.0.0.1:6443`.
    pub api: String,
    /// `http://127.0.0.1:30080`.
    pub web: String,
    /// The kubeconfig on the host.
    pub kubeconfig: String,
    /// The context in it.
    pub context: String,
    /// The web application's variables on the host.
    pub variables: String,
    /// The host's port of the guest's sshd.
    pub ssh_port: u16,
    /// The log.
    pub log: String,
    /// Whether the cluster was waited for and has proved to be ours.
    pub ready: bool,
    /// Whether the cluster's Services answer: `answer`, which do not, or why that is not known; nothing when nobody waited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub services_state: Option<ServicesState>,
    /// What was applied; nothing when nobody waited, and to a snapshot.
    pub apply: Option<ApplyReport>,
}

/// The report; `applied` is nothing where nobody waited.
pub(super) fn report(
    context: &Context<'_>,
    running: &Running,
    from: From,
    // Nothing where nobody waited.
    applied: Option<Option<ApplyReport>>,
) -> StartReport {
    let state_file = &running.state_file;
    let ports = state_file.ports();
    StartReport {
        instance: context.name.to_string(),
        was_running: from == From::Running,
        from,
        pid: running.process.pid(),
        accelerator: state_file.accelerator.clone(),
        accelerator_reason: state_file.accelerator_reason.clone(),
        distribution: state_file.distribution.clone(),
        api: ports.api_url(),
        web: ports.web_url(),
        kubeconfig: context.kubeconfig().display().to_string(),
        context: context.name.to_string(),
        variables: context.project.web().dot_env().display().to_string(),
        ssh_port: ports.ssh.number(),
        log: context.paths().log().display().to_string(),
        ready: applied.is_some(),
        services_state: None,
        apply: applied.flatten(),
    }
}
