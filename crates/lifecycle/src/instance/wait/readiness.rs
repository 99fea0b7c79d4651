//! The way from a started QEMU to a proven, Ready cluster, one wait after the other.

use std::time::{Duration, SystemTime};

use cluster::credentials::LONGEST_KUBECONFIG;
use cluster::{ApiProbe, ClusterClient, Credentials, Kubeconfig};
use host::first_answer::first_answer;
use host::wait::Look;
use model::config::Ports;
use model::guest_image::GuestImageManifest;
use model::instance::InstanceName;
use model::paths::InstancePaths;
use model::{ErrorClass, EventSink, Result};
use qemu::Agent;
use qemu::agent::GuestScript;

use crate::instance::wait::guest_health::GuestHealth;
use crate::instance::wait::watch::GuestWatch;
use crate::verbs::ssh::guest_command;
use host::deadline::Deadline;

/// How long one attempt on the agent may take: while the guest boots, nobody answers, and the watch wants its turn.
const AGENT_ATTEMPT: Duration = Duration::from_secs(2);
/// How long the guest may take to set its clock.
const CLOCK_DEADLINE: Duration = Duration::from_secs(10);

/// What any HTTP server answers, if only with an error. OPTIONS is safe (RFC 9110, 9.2.1): the application counts no
/// visit and does no work for it.
const REQUEST: &[u8] = b"OPTIONS / HTTP/1.0\r\nHost: localhost\r\n\r\n";

/// Access to a cluster that has proved to be ours.
pub(crate) struct Access {
    /// For the host: the forwarded port, our names.
    pub(crate) kubeconfig: Kubeconfig,
    /// What the guest says of its administrator, as far as it is believed.
    pub(crate) admin: Credentials,
    /// The client.
    pub(crate) client: ClusterClient,
}

/// Waits for the guest agent and, through it, for the administrator's credentials. The agent's socket is in a directory that only
/// this user can enter and QEMU alone serves it, so what it says is the guest's own word: three
/// values are taken of it, and nothing else.
///
/// # Errors
/// Timeout and Guest errors of the watch.
pub(crate) fn admin_kubeconfig(
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

/// Sets the guest's clock by the host's: a guest that slept with its host is behind, and certificates of today are not
/// valid yet for it. What cannot be done is no error here: the API's proof tells when the clock is the matter.
pub(crate) fn set_clock(paths: &InstancePaths, events: &dyn EventSink) {
    match Agent::connect(&paths.vm_dir(), AGENT_ATTEMPT) {
        Ok(mut agent) => set_clock_by(&mut agent, events),
        Err(error) => events.debug(format!("the guest's clock was not set: {error}")),
    }
}

/// The same by an agent that is connected.
pub(crate) fn set_clock_by(agent: &mut Agent, events: &dyn EventSink) {
    if let Err(error) = agent.set_time(SystemTime::now(), CLOCK_DEADLINE) {
        events.debug(format!("the guest's clock was not set: {error}"));
    }
}

/// Waits until the API behind the forwarded port proves by its CA to be ours, and is ready.
///
/// # Errors
/// A Port error when another cluster answers; Timeout and Guest errors of the watch.
pub(crate) fn api(
    watch: &mut GuestWatch<'_>,
    name: &InstanceName,
    ports: &Ports,
    admin: &Credentials,
    deadline: Deadline,
) -> Result<Access> {
    let address = ports.api_address();
    let probe = ApiProbe::new(address, admin)?;
    watch.wait(&format!("the Kubernetes API on {address}"), deadline, |left| probe.look(left))?;
    let kubeconfig = admin.for_host(name, ports.bind, ports.api);
    let client = ClusterClient::new(&kubeconfig)?;
    Ok(Access { admin: admin.clone(), kubeconfig, client })
}

/// Waits until the node is Ready; returns its kubelet's version.
///
/// # Errors
/// Timeout and Guest errors of the watch.
pub(crate) fn node(watch: &mut GuestWatch<'_>, access: &Access, node: &str, deadline: Deadline) -> Result<String> {
    watch.wait(&format!("node {node}"), deadline, |left| access.client.look_node(node, left))
}

/// Waits until ssh lets us in: the guest shows the host key that we made, and takes our key.
///
/// # Errors
/// Timeout and Guest errors of the watch.
pub(crate) fn ssh(watch: &mut GuestWatch<'_>, paths: &InstancePaths, deadline: Deadline) -> Result<()> {
    watch.wait("ssh to the guest", deadline, |left| {
        let limit = left.clamp(Duration::from_secs(1), Duration::from_secs(60));
        match guest_command(paths, GuestScript::new("true"), &[], limit)?.output() {
            Ok(output) if output.code == 0 => Ok(Look::Ready(())),
            Ok(output) => {
                let text = String::from_utf8_lossy(&output.stderr);
                Ok(Look::NotYet(text.lines().last().unwrap_or("ssh failed without a word").to_owned()))
            }
            Err(error) if error.class() == ErrorClass::Timeout => Ok(Look::NotYet(error.to_string())),
            Err(error) => Err(error),
        }
    })
}

/// Waits until something behind the web port sends an answer. A connection alone proves nothing: QEMU accepts it
/// whether or not a server is behind it.
///
/// # Errors
/// Timeout and Guest errors of the watch.
pub(crate) fn web(watch: &mut GuestWatch<'_>, ports: &Ports, deadline: Deadline) -> Result<()> {
    watch.wait(&format!("an answer of {}", ports.web_url()), deadline, |left| {
        Ok(match first_answer(ports.web_address(), REQUEST, left.min(Duration::from_secs(10))) {
            Ok(()) => Look::Ready(()),
            Err(why) => Look::NotYet(why),
        })
    })
}
