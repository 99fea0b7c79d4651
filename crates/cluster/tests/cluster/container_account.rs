//! The credential of the containers: creation, reuse, fewer rights, renewal, revocation, and refusal.

use std::sync::Mutex;
use std::time::Duration;

use cluster::{ApplyOptions, ApplySet, Kubeconfig, Token};
use model::{ErrorClass, Event, EventSink};
use serde_json::{Value, json};

use crate::apply::told;
use crate::mock_api::{MockApi, status};

const LIMIT: Duration = Duration::from_secs(20);
const ACCOUNT: &str = "/api/v1/namespaces/kube-system/serviceaccounts/k3s-vm-containers";
const SECRET: &str = "/api/v1/namespaces/kube-system/secrets/k3s-vm-containers";
const BINDING: &str = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/k3s-vm-containers";
const REVIEW: &str = "POST /apis/authentication.k8s.io/v1/tokenreviews";

/// Collects the events.
#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl EventSink for Told {
    fn emit(&self, event: Event) {
        if let Event::Note { text } | Event::Warning { text } = event {
            self.0.lock().unwrap().push(text);
        }
    }
}

struct Cluster {
    api: MockApi,
    told: Told,
}

impl Cluster {
    fn new() -> Self {
        let api = MockApi::start();
        let roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
        {
            let mut state = api.state();
            state.serve("rbac.authorization.k8s.io/v1", "clusterroles", "ClusterRole", false);
            state.serve("rbac.authorization.k8s.io/v1", "clusterrolebindings", "ClusterRoleBinding", false);
            for role in ["cluster-admin", "view"] {
                state.objects.insert(format!("{roles}/{role}"), json!({"metadata": {"name": role}}));
            }
        }
        Cluster { api, told: Told::default() }
    }

    fn token(&self, role: Option<&str>) -> Token {
        self.api.client().container_token(role, LIMIT, &self.told).unwrap()
    }

    fn role(&self) -> Value {
        self.api.state().objects.get(BINDING).map_or(Value::Null, |binding| binding["roleRef"]["name"].clone())
    }

    fn told(&self) -> String {
        std::mem::take(&mut *self.told.0.lock().unwrap()).join("\n")
    }
}

#[test]
fn all_containers_had_the_credential_of_the_host() {
    let cluster = Cluster::new();
    let token = cluster.token(Some("cluster-admin"));
    let host = cluster.api.kubeconfig().to_json();
    let inside = Kubeconfig::inside_cluster("authority", token.clone()).to_json();
    assert!(inside.contains(r#""user":{"token":"token-0"}"#), "{inside}");
    assert!(!inside.contains("client-key-data") && host.contains("client-key-data"));
    assert_eq!(cluster.role(), "cluster-admin");
    // An apply without changes: the token is the same, so that no pod restarts, and nothing is written.
    cluster.api.state().requests.clear();
    assert_eq!(cluster.token(Some("cluster-admin")), token);
    let requests = cluster.api.state().requests.clone();
    assert_eq!(
        requests,
        [format!("GET {BINDING}?"), format!("GET {SECRET}?"), format!("{REVIEW}?fieldManager=k3s-vm")]
    );
    assert_eq!(cluster.told(), "");
}

#[test]
fn a_role_that_the_configuration_lowers_is_lowered_by_the_next_apply_though_a_binding_cannot_be_changed() {
    let cluster = Cluster::new();
    let token = cluster.token(Some("cluster-admin"));
    assert_eq!(cluster.token(Some("view")), token);
    assert_eq!((cluster.role(), cluster.api.state().paths("DELETE")), ("view".into(), vec![BINDING.to_owned()]));
    assert_eq!(cluster.token(None), token);
    assert_eq!(cluster.role(), Value::Null);
    cluster.token(Some("viewer"));
    insta::assert_snapshot!(cluster.told(), @r"
    the credential of the containers has the ClusterRole view now; it had cluster-admin
    the credential of the containers has no ClusterRole any more (inject.cluster_role)
    there is no ClusterRole viewer (inject.cluster_role): until there is, the containers may do nothing
    ");
}

#[test]
fn a_binding_that_was_widened_is_restored_by_an_apply() {
    let cluster = Cluster::new();
    cluster.token(Some("view"));
    let everybody = json!({"kind": "Group", "name": "system:authenticated"});
    cluster.api.state().objects.get_mut(BINDING).unwrap()["subjects"].as_array_mut().unwrap().push(everybody);
    cluster.token(Some("view"));
    assert_eq!(cluster.api.state().objects[BINDING]["subjects"].as_array().unwrap().len(), 1);
}

#[test]
fn a_token_is_revoked_with_its_secret_and_the_next_apply_makes_another() {
    let cluster = Cluster::new();
    let token = cluster.token(Some("view"));
    for object in [SECRET, ACCOUNT] {
        cluster.api.state().objects.remove(object);
        let look = cluster.api.client().look_container_account(LIMIT).unwrap();
        assert_eq!((look.token, look.role.as_deref()), (None, Some("view")), "{object}");
        let next = cluster.token(Some("view"));
        assert_ne!(next, token);
        assert_eq!(cluster.token(Some("view")), next, "{object}");
    }
}

#[test]
fn a_token_is_renewed_before_it_expires_and_the_old_one_stays_good() {
    let cluster = Cluster::new();
    let token = cluster.token(Some("view"));
    let expires = "2027-01-01T00:00:00Z";
    let annotations = json!({"k3s-vm.dev/issued": "2020-01-01T00:00:00Z", "k3s-vm.dev/expires": expires});
    let uid = {
        let mut state = cluster.api.state();
        let secret = state.objects.get_mut(SECRET).unwrap();
        secret["metadata"]["annotations"] = annotations;
        secret["metadata"]["uid"].clone()
    };
    assert_ne!(cluster.token(Some("view")), token);
    assert_eq!(cluster.api.state().objects[SECRET]["metadata"]["uid"], uid, "the pods that run have lost their access");
}

#[test]
fn a_token_of_another_account_is_not_used() {
    let cluster = Cluster::new();
    let token = cluster.token(Some("view"));
    let other = json!({"status": {"authenticated": true, "user": {"username": "system:admin"}}});
    cluster.api.state().script_times(1, REVIEW, 201, other);
    assert_ne!(cluster.token(Some("view")), token);
}

#[test]
fn an_api_that_gives_no_token_is_reported_with_the_setting_that_needs_none() {
    let cluster = Cluster::new();
    let request = format!("POST {ACCOUNT}/token");
    let message = "the server could not find the requested resource";
    cluster.api.state().script_times(1, &request, 404, status(404, "NotFound", message, json!({})));
    let error = cluster.api.client().container_token(None, LIMIT, &cluster.told).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Cluster);
    insta::assert_snapshot!(cluster.api.without_port(&told(&error)), @r#"
    https://127.0.0.1:PORT refused to make a token for the containers
      the server could not find the requested resource
      > inject.variables = ["*", "!KUBECONFIG_PRIMARY"]    # in .k3s-vm/config.toml: they get none
    "#);
    for answer in [json!({}), json!([]), json!({"status": {"token": "a b"}}), json!({"status": {"token": "a"}})] {
        cluster.api.state().script_times(1, &request, 201, answer);
        let error = cluster.api.client().container_token(None, LIMIT, &cluster.told).unwrap_err();
        assert!(error.what().ends_with("did not make a token for the containers"), "{error}");
    }
}

#[test]
fn a_look_changes_nothing() {
    let cluster = Cluster::new();
    let client = cluster.api.client();
    let look = client.look_container_account(LIMIT).unwrap();
    assert_eq!((look.token, look.role), (None, None));
    let token = cluster.token(Some("view"));
    cluster.api.state().requests.clear();
    let look = client.look_container_account(LIMIT).unwrap();
    assert_eq!((look.token, look.role.as_deref()), (Some(token), Some("view")));
    let requests = cluster.api.state().requests.clone();
    assert!(requests.iter().all(|request| request.starts_with("GET ") || request.starts_with(REVIEW)), "{requests:?}");
}

#[test]
fn containers_without_a_credential_lose_an_earlier_one() {
    let cluster = Cluster::new();
    let client = cluster.api.client();
    assert!(!client.revoke_container_account(LIMIT).unwrap());
    cluster.token(Some("view"));
    assert!(client.revoke_container_account(LIMIT).unwrap());
    let state = cluster.api.state();
    assert!([SECRET, ACCOUNT, BINDING].iter().all(|object| !state.objects.contains_key(*object)));
}

#[test]
fn the_account_is_neither_listed_nor_pruned_with_the_objects_of_the_project() {
    let cluster = Cluster::new();
    let token = cluster.token(Some("view"));
    let set = Some(ApplySet::new("k3s-vm-applied", "default"));
    let options = ApplyOptions { set, ..ApplyOptions::default() };
    let outcome = cluster.api.client().apply(&[], &options, &cluster.told).unwrap();
    assert!(outcome.pruned.is_empty() && outcome.applied.is_empty(), "{outcome:?}");
    assert_eq!(cluster.token(Some("view")), token);
    let state = cluster.api.state();
    for object in [SECRET, ACCOUNT, BINDING] {
        let labels = &state.objects[object]["metadata"]["labels"];
        assert_eq!(labels, &json!({"app.kubernetes.io/managed-by": "k3s-vm"}), "{object}");
    }
}
