//! Whether the Services of a cluster answer: asked from inside the guest by its agent, since no ClusterIP can be reached
//! from the host. An API that is ready says nothing of them.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cluster::services::{questions, silent};
use cluster::{ClusterClient, StandingService};
use host::wait::{Look, Wait};
use model::{FaultClass, Result};
use qemu::Agent;
use qemu::agent::GuestCommand;
use serde::{Serialize, Serializer};

use crate::context::Context;

/// How long a start waits for those of a cluster that has booted: DNS is a Deployment of its own, which comes up last,
pub(crate) const AFTER_A_BOOT: Duration = Duration::from_secs(90);
/// and for those that were there before.
pub(crate) const AS_BEFORE: Duration = Duration::from_secs(15);
const INTERVAL: Duration = Duration::from_secs(1);
/// How long the agent may take to answer.
const AGENT_LIMIT: Duration = Duration::from_secs(2);
/// How long the guest may take to ask; its own limit is shorter.
const ASK_LIMIT: Duration = Duration::from_secs(10);
/// How long the API may take to tell where they are.
const API_LIMIT: Duration = Duration::from_secs(5);

/// What became of asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServicesState {
    /// All answer.
    Answer,
    /// These do not.
    Silent(Vec<String>),
    /// Nobody knows, for this reason.
    Unknown(String),
}

impl ServicesState {
    /// Whether it is known that one does not answer.
    pub fn is_silent(&self) -> bool {
        matches!(self, ServicesState::Silent(_))
    }
}

impl fmt::Display for ServicesState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServicesState::Answer => f.write_str("answer"),
            ServicesState::Silent(which) => write!(f, "do not answer: {}", which.join(", ")),
            ServicesState::Unknown(why) => write!(f, "unknown: {why}"),
        }
    }
}

impl Serialize for ServicesState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One look: those whose addresses are `known` are asked. Before any is called silent, `tell` says where they are now, and
/// they are asked there. What is found out is in `known` afterwards.
pub(crate) fn look(
    folder: &Path,
    known: &mut Vec<StandingService>,
    tell: &dyn Fn() -> Result<Vec<StandingService>>,
) -> ServicesState {
    let before = if known.is_empty() { None } else { Some(ask(folder, known)) };
    if let Some(state @ (ServicesState::Answer | ServicesState::Unknown(_))) = before {
        return state;
    }
    match tell() {
        Ok(now) if now.is_empty() => ServicesState::Unknown("the cluster has none".to_owned()),
        Ok(now) => match before {
            Some(state) if *known == now => state,
            _ => {
                *known = now;
                ask(folder, known)
            }
        },
        Err(fault) => ServicesState::Unknown(fault.to_string()),
    }
}

/// Looks until all answer or nobody can tell, for `patience` at most; what was seen last. `ended` ends it at once.
///
/// # Errors
/// Interrupted.
pub(crate) fn wait(
    folder: &Path,
    known: &mut Vec<StandingService>,
    client: &ClusterClient,
    patience: Duration,
    ended: &AtomicBool,
) -> Result<ServicesState> {
    let wait = Wait { what: "the cluster's Services", deadline: patience, interval: INTERVAL };
    let mut last = ServicesState::Unknown("nobody has asked yet".to_owned());
    let answered = wait.until(|_| {
        if ended.load(Ordering::Relaxed) {
            return Ok(Look::Ready(()));
        }
        last = look(folder, known, &|| told_by(client));
        Ok(if last.is_silent() { Look::NotYet(last.to_string()) } else { Look::Ready(()) })
    });
    match answered {
        Err(fault) if fault.class() != FaultClass::Timeout => Err(fault),
        _ => Ok(last),
    }
}

/// Tells whoever started the cluster what is not as it should be.
pub(crate) fn tell(context: &Context<'_>, unit: &str, state: &ServicesState) {
    match state {
        ServicesState::Answer => {}
        ServicesState::Silent(which) => context.events.warning(format!(
            "the cluster is ready, but of its Services {} do not answer, so pods may not reach the API, names or each \
             other: `{} -- systemctl restart {unit}` sets up the rules of all Services anew and keeps all data; `{}` makes a pristine cluster",
            which.join(" and "),
            context.command("ssh"),
            context.command("reset"),
        )),
        ServicesState::Unknown(why) => {
            context.events.note(format!("whether the Services of the cluster answer is not known: {why}"));
        }
    }
}

/// Where they are, by a client.
///
/// # Errors
/// Cluster and Timeout faults.
pub(crate) fn told_by(client: &ClusterClient) -> Result<Vec<StandingService>> {
    client.standing_services(API_LIMIT)
}

fn ask(folder: &Path, services: &[StandingService]) -> ServicesState {
    let command = GuestCommand::new("/bin/sh", questions(services));
    let output = match Agent::connect(folder, AGENT_LIMIT).and_then(|mut agent| agent.exec(&command, ASK_LIMIT)) {
        Ok(output) => output,
        Err(fault) => return ServicesState::Unknown(fault.to_string()),
    };
    match silent(services, output.code, &output.stdout) {
        Ok(silent) if silent.is_empty() => ServicesState::Answer,
        Ok(silent) => ServicesState::Silent(silent.iter().map(ToString::to_string).collect()),
        Err(why) => ServicesState::Unknown(why),
    }
}
