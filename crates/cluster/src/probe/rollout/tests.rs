//! Verdicts on statuses as the server reports them.

use serde_json::{Value, json};

use super::*;

fn pod(status: Value) -> Pod {
    serde_json::from_value(json!({"metadata": {"name": "web-1"}, "status": status})).unwrap()
}

fn container(state: Value) -> Value {
    json!({"name": "web", "image": "local/web:dev", "imageID": "", "ready": false, "restartCount": 3, "started": true, "state": state,
        "lastState": {"terminated": {"exitCode": 137}}})
}

#[test]
fn a_rollout_is_done_by_the_rule_of_kubectl() {
    for (generation, replicas, status, expected) in [
        (
            2,
            json!(2),
            json!({"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}),
            "its new specification is not observed yet",
        ),
        (
            1,
            json!(2),
            json!({"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1}),
            "1 of 2 new replicas are there",
        ),
        (
            1,
            json!(1),
            json!({"observedGeneration": 1, "replicas": 2, "updatedReplicas": 1, "availableReplicas": 1}),
            "1 old replicas are still there",
        ),
        (
            1,
            json!(1),
            json!({"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1}),
            "0 of 1 replicas are available",
        ),
        (
            1,
            json!(1),
            json!({"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "conditions": [
            {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]}),
            "0 of 1 replicas are available, past its progress deadline",
        ),
        (
            1,
            json!(2),
            json!({"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}),
            "",
        ),
        (1, json!(0), json!({"observedGeneration": 1}), ""),
        (1, Value::Null, json!({"observedGeneration": 1}), "0 of 1 new replicas are there"),
        (1, json!(1), json!({}), "its new specification is not observed yet"),
    ] {
        let deployment: Deployment = serde_json::from_value(json!({
            "metadata": {"name": "web", "generation": generation},
            "spec": {"replicas": replicas, "selector": {}, "template": {}},
            "status": status,
        }))
        .unwrap();
        let expected = if expected.is_empty() { Rollout::Done } else { Rollout::Waiting(expected.to_owned()) };
        assert_eq!(rollout(&deployment), expected, "{status}");
    }
}

#[test]
fn failures_are_reported_with_pod_and_reason() {
    let waiting = |reason: &str| json!({"waiting": {"reason": reason, "message": "secret \"x\" not found"}});
    let one = |state| json!({"phase": "Pending", "containerStatuses": [container(state)]});
    let told: String = [
        one(waiting("ImagePullBackOff")),
        one(waiting("CrashLoopBackOff")),
        one(waiting("CreateContainerConfigError")),
        one(json!({"terminated": {"exitCode": 1}})),
        one(json!({"running": {}})),
        json!({"phase": "Pending", "initContainerStatuses": [container(waiting("ErrImagePull"))],
            "containerStatuses": [container(waiting("PodInitializing"))]}),
        json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
            "message": "0/1 nodes are available: 1 Insufficient memory."}]}),
        json!({"phase": "Failed", "reason": "Evicted"}),
    ]
    .into_iter()
    .map(|status| format!("{}\n", failure(&pod(status)).unwrap()))
    .collect();
    insta::assert_snapshot!(told, @r#"
    pod web-1: ImagePullBackOff of container web (image local/web:dev)
    pod web-1: CrashLoopBackOff of container web (exit code 137), 3 restarts
    pod web-1: CreateContainerConfigError of container web (secret "x" not found)
    pod web-1: container web ended with exit code 1
    pod web-1: container web runs, but its readiness probe fails
    pod web-1: ErrImagePull of container web (image local/web:dev)
    pod web-1 has no node: 0/1 nodes are available: 1 Insufficient memory.
    pod web-1 failed: Evicted
    "#);
}

#[test]
fn a_pod_that_is_ready_starting_or_being_deleted_is_no_failure() {
    let ready = json!({"name": "web", "image": "a", "imageID": "", "ready": true, "restartCount": 0, "started": true, "state": {"running": {}}});
    assert_eq!(failure(&pod(json!({"phase": "Running", "containerStatuses": [ready]}))), None);
    assert_eq!(failure(&pod(json!({"phase": "Pending"}))), None);
    let creating = container(json!({"waiting": {"reason": "ContainerCreating"}}));
    assert_eq!(failure(&pod(json!({"phase": "Pending", "containerStatuses": [creating]}))), None);
    let mut leaving = pod(json!({"phase": "Failed"}));
    leaving.metadata.deletion_timestamp =
        serde_json::from_value::<Pod>(json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}))
            .unwrap()
            .metadata
            .deletion_timestamp;
    assert_eq!(failure(&leaving), None);
}

#[test]
fn a_node_is_ready_or_has_a_reason() {
    let node_of = |conditions: Value| -> Node {
        serde_json::from_value(json!({"metadata": {"name": "n"}, "status": {"conditions": conditions,
            "nodeInfo": {"kubeletVersion": "v1.37.2", "architecture": "", "bootID": "", "containerRuntimeVersion": "",
                "kernelVersion": "", "kubeProxyVersion": "", "machineID": "", "operatingSystem": "", "osImage": "", "systemUUID": ""}}}))
        .unwrap()
    };
    assert_eq!(node(&node_of(json!([{"type": "Ready", "status": "True"}]))), Ok("v1.37.2".to_owned()));
    assert_eq!(
        node(&node_of(json!([{"type": "Ready", "status": "False", "message": "cni plugin not initialized"}]))),
        Err("node n is not Ready: cni plugin not initialized".to_owned())
    );
    assert_eq!(node(&node_of(json!([]))), Err("node n has not reported yet".to_owned()));
}

#[test]
fn selectors_take_the_form_of_a_query() {
    let labels: LabelSelector = serde_json::from_value(json!({
        "matchLabels": {"app": "web"},
        "matchExpressions": [
            {"key": "tier", "operator": "In", "values": ["a", "b"]},
            {"key": "x", "operator": "NotIn", "values": ["c"]},
            {"key": "y", "operator": "Exists"},
            {"key": "z", "operator": "DoesNotExist"}
        ]
    }))
    .unwrap();
    assert_eq!(selector(&labels), "app=web,tier in (a,b),x notin (c),y,!z");
}

#[test]
fn explanations_are_the_newest_messages_of_objects_of_the_deployment() {
    let event = |object: &str, message: &str, second: u8| -> Event {
        serde_json::from_value(json!({
            "metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "name": object}, "reason": "Failed",
            "message": message, "lastTimestamp": format!("2026-01-01T00:00:{second:02}Z"),
        }))
        .unwrap()
    };
    let events = vec![
        event("web-5d4f8-x2k4b", "third", 3),
        event("web-5d4f8-x2k4b", "first", 1),
        event("webshop-5d4f8-x2k4b", "another Deployment", 8),
        event("web-front-5d4f8-x2k4b", "another Deployment", 9),
        event("web-5d4f8", "second", 2),
        event("web-5d4f8-x2k4b", "first", 4),
    ];
    assert_eq!(
        last_messages(events.clone(), "web", 2),
        ["pod web-5d4f8-x2k4b: Failed: third", "pod web-5d4f8-x2k4b: Failed: first"]
    );
    assert_eq!(last_messages(events, "web", 9).len(), 3);
}
