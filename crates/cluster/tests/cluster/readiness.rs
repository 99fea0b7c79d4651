//! Nodes and rollouts: one look each, the wait, and the reasons after a timeout.

use std::sync::Mutex;
use std::time::Duration;

use cluster::{ClusterClient, DeploymentName};
use host::wait::Look;
use model::{ErrorClass, Event, EventSink};
use serde_json::{Value, json};

use crate::certificates::Authority;
use crate::mock_api::MockApi;

const LEFT: Duration = Duration::from_secs(20);

fn web() -> DeploymentName {
    DeploymentName { namespace: "shop".to_owned(), name: "web".to_owned() }
}

fn put(api: &MockApi, path: &str, object: Value) {
    api.state().objects.insert(path.to_owned(), object);
}

fn put_deployment(api: &MockApi, available: u32) {
    put(
        api,
        "/apis/apps/v1/namespaces/shop/deployments/web",
        json!({
            "metadata": {"name": "web", "generation": 1},
            "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": {}},
            "status": {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": available},
        }),
    );
}

fn put_broken_pod(api: &MockApi) {
    put(
        api,
        "/api/v1/namespaces/shop/pods/web-5d4f8-x2k4b",
        json!({
            "metadata": {"name": "web-5d4f8-x2k4b", "labels": {"app": "web"}},
            "status": {"phase": "Pending", "containerStatuses": [{
                "name": "web", "image": "local/web:dev", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"waiting": {"reason": "ImagePullBackOff"}},
            }]},
        }),
    );
    put(
        api,
        "/api/v1/namespaces/shop/events/web-5d4f8-x2k4b.1",
        json!({
            "metadata": {"name": "web-5d4f8-x2k4b.1"}, "involvedObject": {"kind": "Pod", "name": "web-5d4f8-x2k4b"}, "type": "Warning",
            "reason": "Failed", "message": "failed to pull image: not found", "lastTimestamp": "2026-01-01T00:00:00Z",
        }),
    );
}

/// Collects the progress texts.
#[derive(Default)]
struct Recorder(Mutex<Vec<String>>);

impl EventSink for Recorder {
    fn emit(&self, event: Event) {
        let text = match event {
            Event::Progress { message, .. } => message,
            other => serde_json::to_string(&other).unwrap(),
        };
        self.0.lock().unwrap().push(text);
    }
}

#[test]
fn a_node_is_not_there_then_not_ready_then_ready() {
    let api = MockApi::start();
    let client = api.client();
    let look = || match client.look_node("k3s-vm", LEFT).unwrap() {
        Look::Ready(version) => format!("ready: {version}"),
        Look::NotYet(observation) => observation,
    };
    api.state().script("GET /api/v1/nodes/k3s-vm", 404, crate::mock_api::status(404, "NotFound", "", json!({})));
    assert_eq!(look(), "node k3s-vm has not registered yet");
    for (ready, expected) in [("False", "node k3s-vm is not Ready: no network"), ("True", "ready: v1.37.2")] {
        let node = json!({
            "metadata": {"name": "k3s-vm"},
            "status": {"conditions": [{"type": "Ready", "status": ready, "message": "no network"}],
                "nodeInfo": {"kubeletVersion": "v1.37.2", "architecture": "", "bootID": "", "containerRuntimeVersion": "",
                    "kernelVersion": "", "kubeProxyVersion": "", "machineID": "", "operatingSystem": "", "osImage": "", "systemUUID": ""}},
        });
        api.state().script("GET /api/v1/nodes/k3s-vm", 200, node);
        assert_eq!(look(), expected);
    }
}

#[test]
fn a_rollout_names_the_pod_that_cannot_start() {
    let api = MockApi::start();
    put_deployment(&api, 0);
    put_broken_pod(&api);
    let client = api.client();
    let Look::NotYet(observation) = client.look_rollout(&web(), LEFT).unwrap() else { panic!("it is not ready") };
    insta::assert_snapshot!(observation, @"deployment shop/web: 0 of 1 replicas are available; pod web-5d4f8-x2k4b: ImagePullBackOff of container web (image local/web:dev)");
    assert!(api.state().requests.iter().any(|request| request.contains("labelSelector=app%3Dweb")));
    put_deployment(&api, 1);
    assert!(matches!(client.look_rollout(&web(), LEFT), Ok(Look::Ready(()))));
}

#[test]
fn the_wait_ends_with_the_rollout_and_reports_progress_once() {
    let api = MockApi::start();
    put_deployment(&api, 0);
    let events = Recorder::default();
    std::thread::scope(|scope| {
        let wait = scope.spawn(|| api.client().wait_rollouts(&[web()], LEFT, &events));
        // Only after the second look.
        let looks = || api.state().paths("GET").iter().filter(|path| path.ends_with("/deployments/web")).count();
        testkit::wait::until(|| looks() >= 2);
        put_deployment(&api, 1);
        wait.join().unwrap().unwrap();
    });
    let told = events.0.into_inner().unwrap();
    assert_eq!(
        told,
        [
            "deployment shop/web: 0 of 1 replicas are available".to_owned(),
            r#"{"event":"task-finished","task":"rollout"}"#.to_owned()
        ]
    );
}

#[test]
fn a_timeout_has_reasons_from_pods_and_events() {
    let api = MockApi::start();
    put_deployment(&api, 0);
    put_broken_pod(&api);
    let error = api.client().wait_rollouts(&[web()], Duration::from_millis(1), &Recorder::default()).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Timeout);
    insta::assert_snapshot!(format!("{}\n{}\n{}", error.what(), error.why().join("\n"), error.next_steps().join("\n")), @r#"
    gave up waiting for the rollout of deployment shop/web after 1ms
    deployment shop/web: 0 of 1 replicas are available; pod web-5d4f8-x2k4b: ImagePullBackOff of container web (image local/web:dev)
    pod web-5d4f8-x2k4b: Failed: failed to pull image: not found
    k3s-vm kubectl describe pods -n shop
    "#);
}

#[test]
fn a_deployment_that_is_gone_fails_at_once() {
    let api = MockApi::start();
    insta::assert_snapshot!(api.client().look_rollout(&web(), LEFT).unwrap_err(), @"there is no deployment shop/web: it was deleted after it had been applied");
}

#[test]
fn a_server_that_does_not_answer_is_an_observation() {
    let kubeconfig = Authority::new().kubeconfig(([127, 0, 0, 1], 1).into());
    let client = ClusterClient::new(&kubeconfig).unwrap();
    let Ok(Look::NotYet(observation)) = client.look_node("k3s-vm", LEFT) else { panic!("it is an observation") };
    insta::assert_snapshot!(observation, @"cannot reach the cluster at https://127.0.0.1:1: Connection refused (os error 111)");
    assert_eq!(client.explain_rollout(&web()), Vec::<String>::new());
}

#[test]
fn the_version_of_the_server_is_read() {
    let api = MockApi::start();
    let version = json!({"major": "1", "minor": "37", "gitVersion": "v1.37.2", "gitCommit": "", "gitTreeState": "", "buildDate": "",
        "goVersion": "", "compiler": "", "platform": ""});
    api.state().script("GET /version", 200, version);
    assert_eq!(api.client().version(LEFT).unwrap(), "v1.37.2");
}
