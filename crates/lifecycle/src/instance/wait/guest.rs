//! Waiting for the guest agent and, through it, for the administrator's credentials; and setting the guest's clock.

use std::time::{Duration, SystemTime};

use cluster::Credentials;
use cluster::credentials::LONGEST_KUBECONFIG;
use host::deadline::Deadline;
use host::wait::Look;
use model::guest_image::GuestImageManifest;
use model::paths::InstancePaths;
use model::{ErrorClass, EventSink, Result};
use qemu::Agent;

use crate::instance::wait::guest_health::GuestHealth;
use crate::instance::wait::watch::GuestWatch;

/// How long one attempt on the agent may take. While the guest boots nobody answers, and the watch has to look, too.
const AGENT_ATTEMPT: Duration = Duration::from_secs(2);
/// How long the guest may take to set its clock.
const CLOCK_DEADLINE: Duration = Duration::from_secs(10);

/// Waits for the guest agent and, through it, for the administrator's credentials.
///
/// The agent's socket is in a directory that only this user can enter, and only QEMU serves it, so what it says comes
/// from the guest. Three values of it are used, and nothing else.
///
/// # Errors
/// Timeout and Guest errors of the watch.
pub(crate) fn wait_for_credentials(
    watch: &mut GuestWatch<'_>,
    paths: &InstancePaths,
    manifest: &GuestImageManifest,
    deadline: Deadline,
) -> Result<Credentials> {
    let directory = paths.vm_dir();
    let mut agent: Option<Agent> = None;
    let mut health = GuestHealth::new(directory.clone(), &manifest.service);
    let credentials = watch.wait("the cluster's kubeconfig in the guest", deadline, |left| {
        let limit = left.min(AGENT_ATTEMPT);
        let connected = match &mut agent {
            Some(connected) => connected,
            none => match Agent::connect(&directory, limit) {
                Ok(connected) => none.insert(connected),
                Err(error) if error.class() == ErrorClass::Timeout => {
                    return Ok(Look::NotYet("the guest agent does not answer yet".to_owned()));
                }
                Err(error) => return Ok(Look::NotYet(format!("the guest agent cannot be reached ({error})"))),
            },
        };
        match connected.read_file(&manifest.kubeconfig, LONGEST_KUBECONFIG, limit.max(AGENT_ATTEMPT)) {
            Ok(Some(bytes)) => match Credentials::parse(&manifest.kubeconfig, &String::from_utf8_lossy(&bytes)) {
                Ok(credentials) => Ok(Look::Ready(credentials)),
                Err(error) => Ok(Look::NotYet(format!("{} is incomplete ({error})", manifest.kubeconfig))),
            },
            Ok(None) => {
                health.check_with(connected)?;
                Ok(Look::NotYet(format!("{} is not written yet", manifest.kubeconfig)))
            }
            Err(error) => {
                agent = None;
                Ok(Look::NotYet(format!("the guest agent stopped answering ({error})")))
            }
        }
    })?;
    watch.attend(health);
    Ok(credentials)
}

/// Sets the guest's clock by the host's. The clock of a guest that slept with its host is behind, and for it certificates
/// of today are not valid yet.
///
/// A failure is only a debug event: the wait for the API reports a wrong clock.
pub(crate) fn set_clock(paths: &InstancePaths, events: &dyn EventSink) {
    match Agent::connect(&paths.vm_dir(), AGENT_ATTEMPT) {
        Ok(mut agent) => set_clock_by(&mut agent, events),
        Err(error) => events.debug(format!("the guest's clock was not set: {error}")),
    }
}

/// As [`set_clock`], through an agent that is connected.
pub(crate) fn set_clock_by(agent: &mut Agent, events: &dyn EventSink) {
    if let Err(error) = agent.set_time(SystemTime::now(), CLOCK_DEADLINE) {
        events.debug(format!("the guest's clock was not set: {error}"));
    }
}
