//! Looks at nodes and Deployments: whether they are ready, and why not.
//!
//! This module sends the requests; the verdicts are made in `rollout`.

use std::time::Duration;

use host::wait::{Look, Wait};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Event, Node, Pod};
use kube::Api;
use kube::api::ListParams;
use model::{Error, ErrorClass, EventSink, Result};

use super::deployments::DeploymentName;
use super::rollout::{self, Rollout};
use crate::client::{ClusterClient, RequestError};

pub use super::deployments::deployments;

/// The longest request of a look; a server that does not answer in this time is reported as not ready.
const LONGEST_REQUEST: Duration = Duration::from_secs(10);
/// The last look of a wait is made at its deadline, and must have time for an answer.
const LEAST_REQUEST: Duration = Duration::from_secs(1);
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
const EXPLANATION_LINES: usize = 10;
/// The task name of the progress events.
const TASK: &str = "rollout";

impl ClusterClient {
    /// One look at the condition `Ready` of a node. Returns the kubelet's version where it is true.
    ///
    /// # Errors
    /// A Port error where another cluster answers, or an interrupt. A server that does not answer is no error.
    pub fn look_node(&self, node: &str, left: Duration) -> Result<Look<String>> {
        let api: Api<Node> = Api::all(self.kube().clone());
        match self.request("the node", left.clamp(LEAST_REQUEST, LONGEST_REQUEST), api.get_opt(node)) {
            Ok(Some(node)) => Ok(rollout::node(&node).map_or_else(Look::NotYet, Look::Ready)),
            Ok(None) => Ok(Look::NotYet(format!("node {node} has not registered yet"))),
            Err(RequestError::Passing(error)) => Ok(Look::NotYet(error.to_string())),
            Err(RequestError::Final(error)) => Err(error),
        }
    }

    /// One look at a Deployment, by the rule of `kubectl rollout status`. Where it is not ready, the text names each
    /// pod that cannot start, with the reason.
    ///
    /// # Errors
    /// As [`ClusterClient::look_node`], and a Cluster error where there is no such Deployment.
    pub fn look_rollout(&self, deployment: &DeploymentName, left: Duration) -> Result<Look<()>> {
        let api: Api<Deployment> = Api::namespaced(self.kube().clone(), &deployment.namespace);
        let limit = left.clamp(LEAST_REQUEST, LONGEST_REQUEST);
        let found = match self.request("the Deployment", limit, api.get_opt(&deployment.name)) {
            Ok(Some(found)) => found,
            Ok(None) => {
                return Err(Error::new(ErrorClass::Cluster, format!("there is no {deployment}"))
                    .because("it was deleted after it had been applied")
                    .next(self.advice().apply.clone()));
            }
            Err(RequestError::Passing(error)) => return Ok(Look::NotYet(format!("{deployment}: {error}"))),
            Err(RequestError::Final(error)) => return Err(error),
        };
        let Rollout::Waiting(mut observation) = rollout::rollout(&found) else { return Ok(Look::Ready(())) };
        for failure in self.pods(&deployment.namespace, &found, limit).iter().filter_map(rollout::failure) {
            observation = format!("{observation}; {failure}");
        }
        Ok(Look::NotYet(format!("{deployment}: {observation}")))
    }

    /// Waits until all of `deployments` are rolled out; progress goes to `events`.
    ///
    /// # Errors
    /// A Timeout error with the last observation and what [`ClusterClient::explain_rollout`] says.
    pub fn wait_rollouts(
        &self,
        deployments: &[DeploymentName],
        deadline: Duration,
        events: &dyn EventSink,
    ) -> Result<()> {
        let mut pending: Vec<&DeploymentName> = deployments.iter().collect();
        let mut last = String::new();
        let what = match deployments {
            [only] => format!("the rollout of {only}"),
            all => format!("the rollouts of {} Deployments", all.len()),
        };
        let wait = Wait { what: &what, deadline, interval: LOOK_INTERVAL };
        let waited = wait.until(|left| {
            let mut observations = Vec::new();
            let mut still = Vec::new();
            for deployment in &pending {
                if let Look::NotYet(observation) = self.look_rollout(deployment, left)? {
                    observations.push(observation);
                    still.push(*deployment);
                }
            }
            pending = still;
            let observation = observations.join("; ");
            if !observation.is_empty() && observation != last {
                events.progress(TASK, observation.clone());
                last.clone_from(&observation);
            }
            Ok(if pending.is_empty() { Look::Ready(()) } else { Look::NotYet(observation) })
        });
        if !last.is_empty() {
            events.emit(model::Event::TaskFinished { task: TASK.to_owned() });
        }
        waited.map_err(|error| {
            if error.class() != ErrorClass::Timeout {
                return error;
            }
            pending.iter().fold(error, |error, deployment| {
                self.explain_rollout(deployment).into_iter().fold(error, Error::because).next(format!(
                    "{} describe pods -n {}",
                    self.advice().kubectl,
                    deployment.namespace
                ))
            })
        })
    }

    /// Why a Deployment is not rolled out: the last messages of warning events of its pods and of their owners, the
    /// newest last, at most ten lines. Empty where the cluster does not answer.
    pub fn explain_rollout(&self, deployment: &DeploymentName) -> Vec<String> {
        let events: Api<Event> = Api::namespaced(self.kube().clone(), &deployment.namespace);
        let warnings = ListParams::default().fields("type=Warning");
        let Ok(list) = self.request("the events", LONGEST_REQUEST, events.list(&warnings)) else { return Vec::new() };
        rollout::last_messages(list.items, &deployment.name, EXPLANATION_LINES)
    }

    fn pods(&self, namespace: &str, deployment: &Deployment, limit: Duration) -> Vec<Pod> {
        let api: Api<Pod> = Api::namespaced(self.kube().clone(), namespace);
        let list = ListParams::default().labels(&rollout::selector(&deployment.spec.selector));
        self.request("the pods", limit, api.list(&list)).map(|list| list.items).unwrap_or_default()
    }
}
