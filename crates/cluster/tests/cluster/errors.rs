//! Clusters that refuse, are busy, go away, or are not the expected one: the messages and the next commands.

use std::sync::Mutex;
use std::time::Duration;

use cluster::{ApplyOptions, Change, ClusterClient, KubeconfigContext};
use model::event::Silent;
use model::{Error, ErrorClass, Event, EventSink};
use serde_json::json;

use crate::apply::{WEB, objects, told};
use crate::mock_api::{MockApi, status};

fn refused(api: &MockApi, text: &str) -> Error {
    api.client().apply(&objects(text), &ApplyOptions::default(), &Silent).unwrap_err()
}

fn config_maps(count: usize) -> String {
    let one = |index| format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c{index}}}\ndata: {{a: b}}\n");
    (0..count).map(one).collect()
}

/// The server as a kubeconfig in a file describes it, with `user` to log in.
struct Shared {
    directory: tempfile::TempDir,
    target: KubeconfigContext,
}

impl Shared {
    fn new(api: &MockApi, user: &str) -> Self {
        Shared::of(&api.kubeconfig().to_yaml(), user)
    }

    fn of(kubeconfig: &str, user: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let text = kubeconfig.split("users:").next().unwrap().to_owned()
            + &format!("users: [{{name: k3s-vm, user: {user}}}]\n");
        let file = directory.path().join("config");
        std::fs::write(&file, text).unwrap();
        Shared { target: KubeconfigContext { file, context: None }, directory }
    }

    fn apply(&self) -> model::Result<cluster::ApplyOutcome> {
        ClusterClient::of_kubeconfig(&self.target)?.apply(&objects(WEB), &ApplyOptions::default(), &Silent)
    }

    fn mistake(&self, api: &MockApi) -> String {
        let text = api.without_port(&told(&self.apply().unwrap_err()));
        text.replace(&self.directory.path().display().to_string(), "DIRECTORY")
    }
}

#[test]
fn a_webhook_that_refuses_is_reported_with_its_message() {
    let api = MockApi::start();
    let denied = "admission webhook \"images.example.com\" denied the request: only images of registry.example.com";
    let path = "PATCH /apis/apps/v1/namespaces/shop/deployments/web";
    api.state().script(path, 403, status(403, "Forbidden", denied, json!({})));
    insta::assert_snapshot!(told(&refused(&api, WEB)), @r#"
    the cluster refused an object of the manifests
      web.yaml:2: deployment shop/web: admission webhook "images.example.com" denied the request: only images of registry.example.com
      3 of 4 objects were applied
      > k3s-vm kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations    # lists who is asked
    "#);
    let dead = "Internal error occurred: failed calling webhook \"images.example.com\": connection refused";
    api.state().script(path, 500, status(500, "InternalError", dead, json!({})));
    insta::assert_snapshot!(told(&refused(&api, WEB)), @r#"
    the cluster refused an object of the manifests
      web.yaml:2: deployment shop/web: Internal error occurred: failed calling webhook "images.example.com": connection refused (HTTP status 500)
      3 of 4 objects were applied
      > k3s-vm kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations    # lists who is asked
    "#);
}

#[test]
fn a_namespace_at_an_object_of_the_whole_cluster_is_refused_before_anything_is_sent() {
    let api = MockApi::start();
    let error = refused(&api, &WEB.replace("{name: shop}", "{name: shop, namespace: default}"));
    insta::assert_snapshot!(told(&error), @r"
    the cluster refused an object of the manifests
      web.yaml:15: namespace default/shop: a Namespace belongs to the whole cluster and has no namespace
      0 of 4 objects were applied
      > take metadata.namespace out of the manifest
    ");
    assert_eq!(api.state().paths("PATCH"), Vec::<String>::new());
}

#[test]
fn all_conflicts_are_reported_in_one_message_with_the_flag_that_forces() {
    let api = MockApi::start();
    let conflict = |fields: &[&str]| {
        let cause = |field: &&str| json!({"reason": "FieldManagerConflict", "field": field, "message": "conflict with \"argocd\" using apps/v1"});
        let causes: Vec<_> = fields.iter().map(cause).collect();
        status(409, "Conflict", "Apply failed", json!({"causes": causes}))
    };
    let deployment = "PATCH /apis/apps/v1/namespaces/shop/deployments/web";
    api.state().script(
        deployment,
        409,
        conflict(&[".spec.replicas", ".spec.template.spec.containers[name=\"web\"].image"]),
    );
    api.state().script("PATCH /api/v1/namespaces/shop/services/web", 409, conflict(&[".spec.type"]));
    insta::assert_snapshot!(told(&refused(&api, WEB)), @r#"
    the cluster refused 2 objects of the manifests
      web.yaml:7: service shop/web: others have set fields that the manifest sets too: .spec.type belongs to argocd
      web.yaml:2: deployment shop/web: others have set fields that the manifest sets too: .spec.replicas belongs to argocd, .spec.template.spec.containers[name="web"].image belongs to argocd
      2 of 4 objects were applied
      > k3s-vm apply --force-conflicts    # takes the fields over; or take them out of the manifests
    "#);
}

#[test]
fn a_busy_server_is_asked_again() {
    let api = MockApi::start();
    let busy = status(429, "TooManyRequests", "too many requests", json!({}));
    let closed = status(503, "ServiceUnavailable", "the server is starting", json!({}));
    api.state().script_times(2, "PATCH /api/v1/namespaces/shop/services/web", 429, busy);
    api.state().script_times(2, "GET /apis/apps/v1", 503, closed);
    let outcome = api.client().apply(&objects(WEB), &ApplyOptions::default(), &Silent).unwrap();
    assert!(outcome.applied.len() == 4 && outcome.applied.iter().all(|one| one.change == Change::Created));
}

#[test]
fn a_server_that_stays_busy_is_a_timeout_with_the_progress() {
    let api = MockApi::start();
    let closed = status(503, "ServiceUnavailable", "the server is overloaded", json!({}));
    api.state().script("PATCH /apis/apps/v1/namespaces/shop/deployments/web", 503, closed);
    let options = ApplyOptions { deadline: Duration::from_secs(1), ..ApplyOptions::default() };
    let error = api.client().apply(&objects(WEB), &options, &Silent).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Timeout);
    insta::assert_snapshot!(told(&error), @r"
    gave up applying the manifests after 1.0s
      3 of 4 objects are known to be applied
      > k3s-vm apply --debug    # lists each object
    ");
}

#[test]
fn a_server_that_goes_away_in_the_middle_is_reported_with_the_progress() {
    let api = MockApi::start();
    // Two requests for the kinds and the list of each of three collections come before the Deployment.
    api.state().go_away_after(9);
    let options = ApplyOptions { concurrency: 1, ..ApplyOptions::default() };
    let error = api.client().apply(&objects(WEB), &options, &Silent).unwrap_err();
    insta::assert_snapshot!(api.without_port(&told(&error)), @r"
    cannot reach the cluster at https://127.0.0.1:PORT
      it closed the connection
      3 of 4 objects are known to be applied
      > k3s-vm status
      > k3s-vm apply    # once it answers again; what is applied already stays as it is
    ");
}

#[derive(Default)]
struct Progress(Mutex<Vec<(u64, u64)>>);

impl EventSink for Progress {
    fn emit(&self, event: Event) {
        if let Event::Progress { done: Some(done), total: Some(total), .. } = event {
            self.0.lock().unwrap().push((done, total));
        }
    }
}

#[test]
fn a_thousand_objects_take_a_few_connections_and_report_progress() {
    let api = MockApi::start();
    let progress = Progress::default();
    let all = objects(&config_maps(1000));
    let set = Some(cluster::ApplySet::new("k3s-vm-applied", "default"));
    let options = ApplyOptions { set, ..ApplyOptions::default() };
    let outcome = api.client().apply(&all, &options, &progress).unwrap();
    assert_eq!(outcome.applied.len(), 1000);
    let told = progress.0.into_inner().unwrap();
    assert_eq!(told, (1..=1000).map(|done| (done, 1000)).collect::<Vec<_>>());
    let connections = api.state().connections;
    assert!(connections <= options.concurrency + 1, "{connections} connections");
}

#[test]
fn an_expired_certificate_is_reported() {
    let api = MockApi::start_expired();
    insta::assert_snapshot!(api.without_port(&told(&refused(&api, WEB))), @r"
    cannot reach the cluster at https://127.0.0.1:PORT
      its certificate is not valid now: it expired on 2020-01-01T00:00:00Z
      > k3s-vm start    # sets the guest's clock
    ");
    insta::assert_snapshot!(Shared::new(&api, "{token: abc}").mistake(&api), @r"
    cannot reach the cluster at https://127.0.0.1:PORT
      its certificate is not valid now: it expired on 2020-01-01T00:00:00Z
      > date    # if this is right, those who run the cluster must renew its certificate
    ");
}

#[test]
fn another_clusters_authority_is_reported_and_gets_no_request() {
    let (api, other) = (MockApi::start(), MockApi::start());
    let text = other.kubeconfig().to_yaml().replace(other.kubeconfig().server(), api.kubeconfig().server());
    insta::assert_snapshot!(Shared::of(&text, "{token: abc}").mistake(&api), @r"
    the server at https://127.0.0.1:PORT is not the one of DIRECTORY/config (context k3s-vm)
      its certificate is signed by another authority
      > get a new kubeconfig from those who run the cluster
    ");
    assert!(api.state().requests.is_empty());
}

#[test]
fn a_wrong_token_is_reported_with_its_kubeconfig() {
    let api = MockApi::start();
    api.state().token = Some("right".to_owned());
    insta::assert_snapshot!(Shared::new(&api, "{token: wrong}").mistake(&api), @r"
    https://127.0.0.1:PORT does not accept the credentials of DIRECTORY/config (context k3s-vm)
      Unauthorized
      > kubectl --kubeconfig DIRECTORY/config --context k3s-vm auth whoami    # tries the same credentials
    ");
    Shared::new(&api, "{token: right}").apply().unwrap();
}

#[test]
fn a_cluster_that_is_unreachable_is_reported_with_a_kubectl_command() {
    let api = MockApi::start();
    api.state().go_away_after(0);
    insta::assert_snapshot!(Shared::new(&api, "{token: abc}").mistake(&api), @r"
    cannot reach the cluster at https://127.0.0.1:PORT
      it closed the connection
      > kubectl --kubeconfig DIRECTORY/config --context k3s-vm version
    ");
}

#[test]
fn tokens_come_from_files_and_from_programs() {
    let api = MockApi::start();
    api.state().token = Some("right".to_owned());
    let file = Shared::new(&api, "{tokenFile: token.txt}");
    std::fs::write(file.directory.path().join("token.txt"), "right\n").unwrap();
    file.apply().unwrap();
    let exec = "{exec: {apiVersion: client.authentication.k8s.io/v1, command: ./login.sh, interactiveMode: Never}}";
    let program = Shared::new(&api, exec);
    let login = program.directory.path().join("login.sh");
    let answer =
        r#"{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "right"}}"#;
    std::fs::write(&login, format!("#!/bin/sh\necho '{answer}'\n")).unwrap();
    std::fs::set_permissions(&login, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    program.apply().unwrap();
}

#[test]
fn a_program_that_gives_no_credentials_is_reported() {
    let api = MockApi::start();
    let exec = "{exec: {apiVersion: client.authentication.k8s.io/v1, command: ./login.sh, interactiveMode: Never}}";
    insta::assert_snapshot!(Shared::new(&api, exec).mistake(&api), @r"
    the credentials for https://127.0.0.1:PORT cannot be used
      auth error: unable to run auth exec: No such file or directory (os error 2)
      the kubeconfig takes them from DIRECTORY/./login.sh
      > kubectl --kubeconfig DIRECTORY/config --context k3s-vm auth whoami    # tries the same credentials
    ");
    assert!(api.state().requests.is_empty());
}

#[test]
fn objects_without_a_namespace_go_to_that_of_the_context() {
    let api = MockApi::start();
    let shared = Shared::new(&api, "{token: abc}");
    let text = std::fs::read_to_string(&shared.target.file).unwrap();
    std::fs::write(&shared.target.file, text.replace("user: k3s-vm\n", "user: k3s-vm\n    namespace: shop\n")).unwrap();
    shared.apply().unwrap();
    assert!(api.state().objects.contains_key("/api/v1/namespaces/shop/configmaps/settings"));
    // Two names for one place.
    let twice = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: shop}\n";
    let client = ClusterClient::of_kubeconfig(&shared.target).unwrap();
    let error = client.apply(&objects(twice), &ApplyOptions::default(), &Silent).unwrap_err();
    assert_eq!(error.why()[0], "web.yaml:5: configmap shop/a: it is also written at web.yaml:1");
}

#[test]
fn an_answer_without_end_filled_the_memory_of_the_host() {
    let api = MockApi::start();
    let endless =
        json!({"kind": "APIResourceList", "groupVersion": "v1", "resources": [], "more": "x".repeat(65 << 20)});
    api.state().script("GET /api/v1", 200, endless);
    let error = api.client().apply(&objects(WEB), &ApplyOptions::default(), &Silent).unwrap_err();
    assert!(error.to_string().contains("length limit exceeded"), "{error}");
}

#[test]
fn an_insecure_server_is_accepted_when_the_kubeconfig_says_so() {
    let (api, other) = (MockApi::start(), MockApi::start());
    let text = other.kubeconfig().to_yaml().replace(other.kubeconfig().server(), api.kubeconfig().server());
    let lines: Vec<&str> = text.lines().filter(|line| !line.contains("certificate-authority-data")).collect();
    let text = lines.join("\n").replace("server:", "insecure-skip-tls-verify: true\n    server:");
    Shared::of(&(text + "\n"), "{token: abc}").apply().unwrap();
}
