//! Whether a Deployment is rolled out, and why one of its pods does not start.
//!
//! Pure: objects of the server in, verdicts and texts out.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ContainerStatus, Event, Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// The progress of a rollout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Rollout {
    /// All replicas are updated and available.
    Done,
    /// Not finished; the text says what is missing.
    Waiting(String),
}

/// The rule of `kubectl rollout status` (`DeploymentStatusViewer` in k8s.io/kubectl/pkg/polymorphichelpers), with one
/// exception: a rollout past its `progressDeadlineSeconds` is not failed, because it still succeeds once a missing
/// image is loaded.
pub(crate) fn rollout(deployment: &Deployment) -> Rollout {
    let status = deployment.status.clone().unwrap_or_default();
    let generation = deployment.metadata.generation.unwrap_or_default();
    if status.observed_generation.unwrap_or_default() < generation {
        return Rollout::Waiting("its new specification is not observed yet".to_owned());
    }
    let wanted = deployment.spec.replicas.unwrap_or(1);
    let updated = status.updated_replicas.unwrap_or_default();
    let replicas = status.replicas.unwrap_or_default();
    let available = status.available_replicas.unwrap_or_default();
    let text = if updated < wanted {
        format!("{updated} of {wanted} new replicas are there")
    } else if replicas > updated {
        format!("{} old replicas are still there", replicas - updated)
    } else if available < updated {
        format!("{available} of {updated} replicas are available")
    } else {
        return Rollout::Done;
    };
    let late = status.conditions.iter().flatten().any(|condition| {
        condition.type_.as_deref() == Some("Progressing")
            && condition.reason.as_deref() == Some("ProgressDeadlineExceeded")
    });
    Rollout::Waiting(if late { format!("{text}, past its progress deadline") } else { text })
}

/// The label selector in the query form of the API, `app=web,tier in (a,b)`.
pub(crate) fn selector(selector: &LabelSelector) -> String {
    let mut terms: Vec<String> =
        selector.match_labels.iter().flatten().map(|(key, value)| format!("{key}={value}")).collect();
    for expression in selector.match_expressions.iter().flatten() {
        let values = expression.values.as_deref().unwrap_or_default().join(",");
        terms.push(match expression.operator.as_str() {
            "Exists" => expression.key.clone(),
            "DoesNotExist" => format!("!{}", expression.key),
            "NotIn" => format!("{} notin ({values})", expression.key),
            _ => format!("{} in ({values})", expression.key),
        });
    }
    terms.join(",")
}

/// Why the pod does not run or is not ready: `pod web-1: ImagePullBackOff (image local/web:dev)`. `None` for a pod that
/// is ready, is starting, or is being deleted.
pub(crate) fn failure(pod: &Pod) -> Option<String> {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let status = pod.status.as_ref()?;
    if pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let containers = status.init_container_statuses.iter().flatten().chain(status.container_statuses.iter().flatten());
    if let Some(reason) = containers.filter_map(container_failure).next() {
        return Some(format!("pod {name}: {reason}"));
    }
    let unscheduled = status.conditions.iter().flatten().find(|condition| {
        condition.type_ == "PodScheduled" && condition.status == "False" && condition.reason.is_some()
    });
    if let Some(condition) = unscheduled {
        let message = condition.message.as_deref().or(condition.reason.as_deref()).unwrap_or_default();
        return Some(format!("pod {name} has no node: {message}"));
    }
    match (status.phase.as_deref(), status.reason.as_deref()) {
        (Some("Failed"), reason) => Some(format!("pod {name} failed: {}", reason.unwrap_or("no reason given"))),
        _ => None,
    }
}

fn container_failure(status: &ContainerStatus) -> Option<String> {
    let container = &status.name;
    let state = status.state.as_ref()?;
    let last_exit = status.last_state.as_ref().and_then(|last| last.terminated.as_ref());
    if let Some(waiting) = &state.waiting {
        let reason = waiting.reason.as_deref().unwrap_or_default();
        return match reason {
            // The container is starting.
            "" | "ContainerCreating" | "PodInitializing" => None,
            "ImagePullBackOff" | "ErrImagePull" | "ErrImageNeverPull" | "InvalidImageName" => {
                Some(format!("{reason} of container {container} (image {})", status.image))
            }
            "CrashLoopBackOff" => {
                let exit = last_exit.map(|last| format!(" (exit code {})", last.exit_code)).unwrap_or_default();
                Some(format!("CrashLoopBackOff of container {container}{exit}, {} restarts", status.restart_count))
            }
            _ => {
                let message = waiting.message.as_deref().map(|message| format!(" ({message})")).unwrap_or_default();
                Some(format!("{reason} of container {container}{message}"))
            }
        };
    }
    if let Some(terminated) = state.terminated.as_ref().filter(|terminated| terminated.exit_code != 0) {
        return Some(format!("container {container} ended with exit code {}", terminated.exit_code));
    }
    let runs_unready = state.running.is_some() && !status.ready && status.started == Some(true);
    runs_unready.then(|| format!("container {container} runs, but its readiness probe fails"))
}

/// The kubelet's version of a node that is Ready, else the message of its condition.
pub(crate) fn node(node: &Node) -> Result<String, String> {
    let status = node.status.clone().unwrap_or_default();
    let name = node.metadata.name.as_deref().unwrap_or_default();
    let Some(ready) = status.conditions.iter().flatten().find(|condition| condition.type_ == "Ready") else {
        return Err(format!("node {name} has not reported yet"));
    };
    if ready.status == "True" {
        return Ok(status.node_info.map(|info| info.kubelet_version).unwrap_or_default());
    }
    let message = ready.message.as_deref().or(ready.reason.as_deref()).unwrap_or("no reason given");
    Err(format!("node {name} is not Ready: {message}"))
}

/// The characters of the suffixes that Kubernetes gives to ReplicaSets and Pods (`rand.SafeEncodeString` and
/// `rand.String` of k8s.io/apimachinery/pkg/util/rand). They distinguish `web-5d4f8-x2k4b` from the `web-front` of
/// another Deployment.
const SUFFIX_LETTERS: &str = "bcdfghjklmnpqrstvwxz2456789";

fn belongs(object: &str, deployment: &str) -> bool {
    object.strip_prefix(deployment).is_some_and(|rest| {
        rest.is_empty()
            || rest.strip_prefix('-').is_some_and(|suffixes| {
                suffixes
                    .split('-')
                    .all(|suffix| !suffix.is_empty() && suffix.chars().all(|letter| SUFFIX_LETTERS.contains(letter)))
            })
    })
}

/// The last `count` different messages of `events` about objects that belong to the Deployment `name` by their names,
/// oldest first.
pub(crate) fn last_messages(mut events: Vec<Event>, name: &str, count: usize) -> Vec<String> {
    events.retain(|event| belongs(event.involved_object.name.as_deref().unwrap_or_default(), name));
    events.sort_by_key(|event| {
        let last = event.last_timestamp.as_ref().map(|time| time.0);
        let event_time = event.event_time.as_ref().map(|time| time.0);
        last.max(event_time)
    });
    let mut messages: Vec<String> = Vec::new();
    for event in events {
        let object = &event.involved_object;
        let message = format!(
            "{} {}: {}: {}",
            object.kind.as_deref().unwrap_or_default().to_lowercase(),
            object.name.as_deref().unwrap_or_default(),
            event.reason.as_deref().unwrap_or_default(),
            event.message.as_deref().unwrap_or_default().trim_end(),
        );
        messages.retain(|earlier| *earlier != message);
        messages.push(message);
    }
    messages.split_off(messages.len().saturating_sub(count))
}

#[cfg(test)]
mod tests;
