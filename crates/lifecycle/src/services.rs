//! Whether the Services of a cluster answer: asked from inside the guest by its agent, since no ClusterIP can be reached
//! from the host. An API that is ready says nothing of them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cluster::services::{questions, silent};
use cluster::{ClusterClient, StandingService};
use host::wait::{Look, Wait};
use model::{EventSink, FaultClass, Result};
use qemu::Agent;
use qemu::agent::GuestCommand;
use serde::{Serialize, Serializer};

use crate::context::Context;

/// How long a start waits for those of a cluster that has booted, or runs: DNS is a Deployment of its own, which comes up
/// last,
pub(crate) const AFTER_A_BOOT: Duration = Duration::from_secs(120);
/// and for those that were there before.
pub(crate) const AS_BEFORE: Duration = Duration::from_secs(15);
const INTERVAL: Duration = Duration::from_secs(2);
/// So many looks in a row that told nothing are enough: the agent may have been busy, but not for so long.
const MOST_UNKNOWN: u32 = 3;
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

/// Asks while something else is done.
pub(crate) struct Asking<'a> {
    /// The folder with the agent's socket.
    folder: PathBuf,
    client: &'a ClusterClient,
    events: &'a dyn EventSink,
    /// What sets up their rules anew, and what makes a pristine cluster.
    remedies: [String; 2],
    patience: Duration,
}

impl<'a> Asking<'a> {
    /// Asks those of the cluster of `client`, whose unit in the guest is `unit`, for `patience` at most.
    pub(crate) fn new(context: &'a Context<'_>, client: &'a ClusterClient, unit: &str, patience: Duration) -> Self {
        let remedies = [format!("{} -- systemctl restart {unit}", context.command("ssh")), context.command("reset")];
        Asking { folder: context.paths().vm_dir(), client, events: context.events, remedies, patience }
    }

    /// Looks until all answer, while `work` is done; what does not answer is told when it is known, since `work` may wait for
    /// it in vain. Beside the result of `work`, what was seen last, and the addresses.
    ///
    /// # Errors
    /// Those of `work`; Interrupted.
    pub(crate) fn during<T>(
        &self,
        mut known: Vec<StandingService>,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<(T, Vec<StandingService>, ServicesState)> {
        let failed = AtomicBool::new(false);
        let (result, state) = std::thread::scope(|scope| {
            let asked = scope.spawn(|| {
                let state = self.wait(&mut known, &failed);
                if !failed.load(Ordering::Relaxed)
                    && let Ok(state) = &state
                {
                    self.tell(state);
                }
                state
            });
            let result = work();
            failed.store(result.is_err(), Ordering::Relaxed);
            let died = |_| Ok(ServicesState::Unknown("nobody asked".to_owned()));
            (result, asked.join().unwrap_or_else(died))
        });
        let (result, mut state) = (result?, state?);
        // The work may have taken long.
        if state.is_silent() {
            state = look(&self.folder, &mut known, &|| told_by(self.client));
            if state == ServicesState::Answer {
                self.events.note("the Services of the cluster answer now".to_owned());
            }
        }
        Ok((result, known, state))
    }

    /// Looks until all answer or nobody can tell, or `failed`; what was seen last.
    fn wait(&self, known: &mut Vec<StandingService>, failed: &AtomicBool) -> Result<ServicesState> {
        let wait = Wait { what: "the cluster's Services", deadline: self.patience, interval: INTERVAL };
        let mut last = ServicesState::Unknown("nobody has asked yet".to_owned());
        let mut unknown = 0;
        let answered = wait.until(|_| {
            if failed.load(Ordering::Relaxed) {
                return Ok(Look::Ready(()));
            }
            last = look(&self.folder, known, &|| told_by(self.client));
            unknown = if matches!(last, ServicesState::Unknown(_)) { unknown + 1 } else { 0 };
            let is_over = last == ServicesState::Answer || unknown == MOST_UNKNOWN;
            Ok(if is_over { Look::Ready(()) } else { Look::NotYet(last.to_string()) })
        });
        match answered {
            Err(fault) if fault.class() != FaultClass::Timeout => Err(fault),
            _ => Ok(last),
        }
    }

    fn tell(&self, state: &ServicesState) {
        let [again, pristine] = &self.remedies;
        match state {
            ServicesState::Answer => {}
            ServicesState::Silent(which) => self.events.warning(format!(
                "the cluster is ready, but of its Services {} do not answer, so pods may not reach the API, names or each \
                 other: `{again}` sets up the rules of all Services anew and keeps all data; `{pristine}` makes a pristine \
                 cluster",
                which.join(" and "),
            )),
            ServicesState::Unknown(why) => {
                self.events.note(format!("whether the Services of the cluster answer is not known: {why}"));
            }
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
