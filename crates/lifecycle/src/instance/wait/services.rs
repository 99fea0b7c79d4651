//! Whether the Services that a cluster needs answer. The guest agent asks them, since no ClusterIP can be reached from the
//! host. A ready API says nothing of them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cluster::services::{questions, silent};
use cluster::{ClusterClient, CoreService, CoreServiceStatus};
use host::wait::{Look, Outcome, Wait};
use model::{ErrorClass, EventSink, Result};
use qemu::Agent;
use qemu::agent::GuestCommand;
use serde::{Serialize, Serializer};

use crate::context::Context;

/// How long a start waits for the Services of a cluster that has booted, or runs: DNS is a Deployment of its own, which
/// comes up last.
pub(crate) const AFTER_A_BOOT: Duration = Duration::from_secs(120);
/// How long a start waits for the Services of a cluster that was restored or resumed.
pub(crate) const AS_BEFORE: Duration = Duration::from_secs(15);
const INTERVAL: Duration = Duration::from_secs(2);
/// After this many looks in a row without an answer the wait ends: the agent may be busy, but not for so long.
const MOST_UNKNOWN: u32 = 3;
/// How long the agent may take to answer.
const AGENT_LIMIT: Duration = Duration::from_secs(2);
/// How long the questions in the guest may take; their own limit is shorter.
const ASK_LIMIT: Duration = Duration::from_secs(10);
/// How long the API may take to list the Services.
const API_LIMIT: Duration = Duration::from_secs(5);

/// Whether the Services answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServicesState {
    /// All answer.
    Answer,
    /// These do not answer.
    Silent(Vec<String>),
    /// These do not answer, and have no ready pod that could.
    NotUp(Vec<String>),
    /// It is not known, for this reason.
    Unknown(String),
}

impl ServicesState {
    /// Whether it is known that one does not answer.
    pub fn is_silent(&self) -> bool {
        matches!(self, ServicesState::Silent(_) | ServicesState::NotUp(_))
    }
}

impl fmt::Display for ServicesState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServicesState::Answer => f.write_str("answer"),
            ServicesState::Silent(which) => write!(f, "do not answer: {}", which.join(", ")),
            ServicesState::NotUp(which) => write!(f, "have no ready pod: {}", which.join(", ")),
            ServicesState::Unknown(why) => write!(f, "unknown: {why}"),
        }
    }
}

impl Serialize for ServicesState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Looks once: asks the Services in `known`. Before any counts as silent, `list` gets the present addresses from the API,
/// which are then asked and put into `known`.
pub(crate) fn look(
    directory: &Path,
    known: &mut Vec<CoreService>,
    list: &dyn Fn() -> Result<Vec<CoreServiceStatus>>,
) -> ServicesState {
    let before = if known.is_empty() { None } else { Some(ask(directory, known)) };
    match before {
        Some(Ok(silent)) if silent.is_empty() => return ServicesState::Answer,
        Some(Err(why)) => return ServicesState::Unknown(why),
        _ => {}
    }
    let told = match list() {
        Ok(told) if told.is_empty() => return ServicesState::Unknown("the cluster has none".to_owned()),
        Ok(told) => told,
        Err(error) => return ServicesState::Unknown(error.to_string()),
    };
    let now: Vec<CoreService> = told.iter().map(|told| told.service.clone()).collect();
    let silent = match before {
        Some(silent) if *known == now => silent,
        _ => {
            *known = now;
            ask(directory, known)
        }
    };
    match silent {
        Ok(silent) => state_of(&silent, &told),
        Err(why) => ServicesState::Unknown(why),
    }
}

/// The state in which these are silent.
fn state_of(silent: &[CoreService], told: &[CoreServiceStatus]) -> ServicesState {
    let is_up = |service: &CoreService| told.iter().any(|told| told.service == *service && told.has_ready_endpoint);
    let shown = silent.iter().map(ToString::to_string).collect();
    match (silent.is_empty(), silent.iter().any(is_up)) {
        (true, _) => ServicesState::Answer,
        (false, true) => ServicesState::Silent(shown),
        (false, false) => ServicesState::NotUp(shown),
    }
}

/// Asks the Services while other work is done.
pub(crate) struct Asking<'a> {
    /// The directory with the agent's socket.
    directory: PathBuf,
    client: &'a ClusterClient,
    events: &'a dyn EventSink,
    /// The command that sets up the Services' rules anew, and the one that makes a pristine cluster.
    remedies: [String; 2],
    /// The command that shows the pods of DNS.
    pods: String,
    patience: Duration,
}

impl<'a> Asking<'a> {
    /// Asks the Services of the cluster of `client` for `patience` at most. `unit` is the cluster's systemd unit in the guest.
    pub(crate) fn new(context: &'a Context<'_>, client: &'a ClusterClient, unit: &str, patience: Duration) -> Self {
        let remedies = [format!("{} -- systemctl restart {unit}", context.command("ssh")), context.command("reset")];
        let pods = format!("{} -n kube-system get pods", context.command("kubectl"));
        Asking { directory: context.paths().vm_dir(), client, events: context.events, remedies, pods, patience }
    }

    /// Looks until all answer, while `work` is done. What does not answer is reported as soon as it is known, since `work` may
    /// wait for it in vain. Returns the result of `work`, the addresses, and the last state.
    ///
    /// # Errors
    /// Those of `work`; Interrupted.
    pub(crate) fn during<T>(
        &self,
        mut known: Vec<CoreService>,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<(T, Vec<CoreService>, ServicesState)> {
        let failed = AtomicBool::new(false);
        let (result, state) = std::thread::scope(|scope| {
            let asked = scope.spawn(|| -> Result<(ServicesState, bool)> {
                let state = self.wait(&mut known, &failed)?;
                let is_reported = !failed.load(Ordering::Relaxed);
                if is_reported {
                    self.report(&state);
                }
                Ok((state, is_reported))
            });
            let result = work();
            failed.store(result.is_err(), Ordering::Relaxed);
            let died = |_| Ok((ServicesState::Unknown("nobody asked".to_owned()), true));
            (result, asked.join().unwrap_or_else(died))
        });
        if let (Err(error), Ok((state, false))) = (&result, &state)
            && may_be_the_cause(state, error.class())
        {
            self.report(state);
        }
        let (result, (mut state, _)) = (result?, state?);
        // The work may have taken a long time.
        if state.is_silent() {
            state = look(&self.directory, &mut known, &|| list(self.client));
            if state == ServicesState::Answer {
                self.events.note("the Services of the cluster answer now".to_owned());
            }
        }
        Ok((result, known, state))
    }

    /// Looks until all answer, the state stays unknown, or `failed`. Returns the last state.
    fn wait(&self, known: &mut Vec<CoreService>, failed: &AtomicBool) -> Result<ServicesState> {
        let wait = Wait { what: "the cluster's Services", deadline: self.patience, interval: INTERVAL };
        let mut last = ServicesState::Unknown("nobody has asked yet".to_owned());
        let mut unknown = 0;
        // A timeout is no error: what was seen last is the answer.
        let _: Outcome<()> = wait.outcome(|_| {
            if failed.load(Ordering::Relaxed) {
                return Ok(Look::Ready(()));
            }
            last = look(&self.directory, known, &|| list(self.client));
            unknown = if matches!(last, ServicesState::Unknown(_)) { unknown + 1 } else { 0 };
            let is_over = last == ServicesState::Answer || unknown == MOST_UNKNOWN;
            Ok(if is_over { Look::Ready(()) } else { Look::NotYet(last.to_string()) })
        })?;
        Ok(last)
    }

    fn report(&self, state: &ServicesState) {
        let [again, pristine] = &self.remedies;
        match state {
            ServicesState::Answer => {}
            ServicesState::Silent(which) => self.events.warning(format!(
                "the cluster is ready, but of its Services {} do not answer, so pods may not reach the API, names or each \
                 other: `{again}` sets up the rules of all Services anew and keeps all data; `{pristine}` makes a pristine \
                 cluster",
                which.join(" and "),
            )),
            ServicesState::NotUp(which) => self.events.warning(format!(
                "the cluster is ready, but {} has no ready pod yet, so pods may not reach each other by name: `{}` shows \
                 what became of it",
                which.join(" and "),
                self.pods,
            )),
            ServicesState::Unknown(why) => {
                self.events.note(format!("whether the Services of the cluster answer is not known: {why}"));
            }
        }
    }
}

/// Whether work that failed may have waited for Services in this state.
fn may_be_the_cause(state: &ServicesState, failure: ErrorClass) -> bool {
    failure == ErrorClass::Timeout && state.is_silent()
}

/// Lists the Services that the cluster needs, with their addresses.
///
/// # Errors
/// Cluster and Timeout errors.
pub(crate) fn list(client: &ClusterClient) -> Result<Vec<CoreServiceStatus>> {
    client.core_services(API_LIMIT)
}

/// Asks in the guest which of `services` do not answer.
///
/// # Errors
/// Why that is not known, as a part of a sentence.
fn ask(directory: &Path, services: &[CoreService]) -> Result<Vec<CoreService>, String> {
    let command = GuestCommand::new("/bin/sh", questions(services));
    let output = Agent::connect(directory, AGENT_LIMIT)
        .and_then(|mut agent| agent.exec(&command, ASK_LIMIT))
        .map_err(|error| error.to_string())?;
    Ok(silent(services, output.code, &output.stdout)?.into_iter().cloned().collect())
}

#[cfg(test)]
mod tests {
    use cluster::services::Question;

    use super::*;

    #[test]
    fn a_start_that_ran_out_of_time_did_not_report_dead_services() {
        let dead = ServicesState::Silent(vec!["DNS".to_owned()]);
        assert!(may_be_the_cause(&dead, ErrorClass::Timeout));
        assert!(!may_be_the_cause(&dead, ErrorClass::Cluster), "a refused manifest has another cause");
        assert!(!may_be_the_cause(&ServicesState::Answer, ErrorClass::Timeout));
        assert!(!may_be_the_cause(&ServicesState::Unknown("why".to_owned()), ErrorClass::Timeout));
    }

    #[test]
    fn a_dns_that_was_not_up_yet_was_reported_to_have_dead_rules() {
        let told = |question, has_ready_endpoint| CoreServiceStatus {
            service: CoreService { question, address: "10.43.0.1".parse().unwrap(), port: 1 },
            has_ready_endpoint,
        };
        let of = |told: &CoreServiceStatus| told.service.clone();
        let (api, up, down) = (told(Question::Connection, true), told(Question::Dns, true), told(Question::Dns, false));
        assert_eq!(state_of(&[], &[api.clone(), down.clone()]), ServicesState::Answer);
        let silent = |silent: &[CoreService], told: &[CoreServiceStatus]| state_of(silent, told).to_string();
        assert_eq!(silent(&[of(&up)], &[api.clone(), up.clone()]), "do not answer: DNS (10.43.0.1:1)");
        assert_eq!(silent(&[of(&down)], &[api.clone(), down.clone()]), "have no ready pod: DNS (10.43.0.1:1)");
        let both = silent(&[of(&api), of(&down)], &[api, down]);
        assert_eq!(both, "do not answer: the API's Service (10.43.0.1:1), DNS (10.43.0.1:1)");
    }
}
