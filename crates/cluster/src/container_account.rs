//! The credential of the containers: a ServiceAccount of their own, the ClusterRole that it is bound to, and a token.
//!
//! The token is bound to a Secret and stored in it: deleting the Secret revokes the token, and every apply finds the
//! same token as long as it is valid, so that no pod restarts for nothing. All of it is in the cluster, and is saved,
//! restored and forked with it. The objects belong to no apply set: they are never listed or pruned with those of the
//! project.

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use host::deadline::Deadline;
use http::Method;
use kube::core::Status;
use model::{Error, ErrorClass, EventSink, Result};
use serde_json::{Value, json};

use crate::apply::FIELD_MANAGER;
use crate::client::ClusterClient;
use crate::error_text::sentence;

pub use crate::kubeconfig::Token;

/// The name of the ServiceAccount, the Secret and the ClusterRoleBinding.
pub const CONTAINER_ACCOUNT: &str = "k3s-vm-containers";
/// The namespace of the ServiceAccount and the Secret: one that every cluster has and no user deploys to.
pub const CONTAINER_ACCOUNT_NAMESPACE: &str = "kube-system";

/// The lifetime of the API's certificates: a snapshot can be restored for nearly as long, without an apply. The next
/// apply replaces a token once half of its lifetime is over.
const LIFETIME: Duration = Duration::from_secs(365 * 24 * 60 * 60);
const ISSUED: &str = "k3s-vm.dev/issued";
const EXPIRES: &str = "k3s-vm.dev/expires";
/// The key of the token in the Secret.
const TOKEN: &str = "token";

const ACCOUNTS: &str = "/api/v1/namespaces/kube-system/serviceaccounts";
const SECRETS: &str = "/api/v1/namespaces/kube-system/secrets";
const BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
const ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
const REVIEWS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";

/// The credential that the containers have now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerAccount {
    /// The token that an apply would reuse.
    pub token: Option<Token>,
    /// The name of the ClusterRole that the ServiceAccount is bound to.
    pub role: Option<String>,
}

impl ClusterClient {
    /// The token of the containers, with the rights of the ClusterRole `role`, or with none. Objects that are missing
    /// or differ are made; the others stay as they are.
    ///
    /// # Errors
    /// A Cluster error where the API refuses a request, a Timeout error after `deadline`.
    pub fn container_token(&self, role: Option<&str>, deadline: Duration, events: &dyn EventSink) -> Result<Token> {
        let requests = Requests { client: self, deadline: Deadline::after(deadline) };
        // First, so that no token is handed out with more rights than it should have.
        requests.bind(role, events)?;
        let secret = requests.get(SECRETS, CONTAINER_ACCOUNT)?;
        if let Some(token) = secret.as_ref().and_then(|secret| fresh_token(secret, SystemTime::now()))
            && requests.accepts(&token)?
        {
            return Ok(token);
        }
        requests.make(ACCOUNTS, &json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata()}))?;
        let uid = match secret.as_ref().and_then(uid_of) {
            Some(uid) => uid,
            None => {
                requests.make(SECRETS, &json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata()}))?;
                let made = requests.get(SECRETS, CONTAINER_ACCOUNT)?;
                made.as_ref().and_then(uid_of).ok_or_else(|| requests.unexpected_answer("a Secret without a uid"))?
            }
        };
        let token = requests.issue(&uid)?;
        events.debug("the containers have a new token".to_owned());
        Ok(token)
    }

    /// The credential that the containers have now; nothing is changed.
    ///
    /// # Errors
    /// As [`ClusterClient::container_token`].
    pub fn look_container_account(&self, deadline: Duration) -> Result<ContainerAccount> {
        let requests = Requests { client: self, deadline: Deadline::after(deadline) };
        let binding = requests.get(BINDINGS, CONTAINER_ACCOUNT)?;
        let role = binding.as_ref().and_then(bound_role).map(str::to_owned);
        let token = match requests.get(SECRETS, CONTAINER_ACCOUNT)?.and_then(|it| fresh_token(&it, SystemTime::now())) {
            Some(token) if requests.accepts(&token)? => Some(token),
            _ => None,
        };
        Ok(ContainerAccount { token, role })
    }

    /// Deletes the credential of the containers. Returns whether there was one.
    ///
    /// # Errors
    /// As [`ClusterClient::container_token`].
    pub fn revoke_container_account(&self, deadline: Duration) -> Result<bool> {
        let requests = Requests { client: self, deadline: Deadline::after(deadline) };
        // The account is deleted last: where it is gone, so is everything else.
        let Some(account) = requests.get(ACCOUNTS, CONTAINER_ACCOUNT)? else { return Ok(false) };
        for collection in [BINDINGS, SECRETS] {
            if let Some(object) = requests.get(collection, CONTAINER_ACCOUNT)? {
                requests.delete(collection, &object)?;
            }
        }
        requests.delete(ACCOUNTS, &account)?;
        Ok(true)
    }
}

/// The requests, within one deadline.
struct Requests<'a> {
    client: &'a ClusterClient,
    deadline: Deadline,
}

impl Requests<'_> {
    /// Makes the binding refer to `role`. The API does not change `roleRef`, so another binding is deleted first.
    fn bind(&self, role: Option<&str>, events: &dyn EventSink) -> Result<()> {
        let found = self.get(BINDINGS, CONTAINER_ACCOUNT)?;
        let before = found.as_ref().and_then(bound_role);
        if found.is_some() == role.is_some() && before == role {
            return Ok(());
        }
        if let Some(found) = &found {
            self.delete(BINDINGS, found)?;
        }
        let Some(role) = role else {
            events
                .note("the credential of the containers has no ClusterRole any more (inject.cluster_role)".to_owned());
            return Ok(());
        };
        let subject = json!({
            "kind": "ServiceAccount", "name": CONTAINER_ACCOUNT, "namespace": CONTAINER_ACCOUNT_NAMESPACE,
        });
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": metadata(),
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [subject],
        });
        self.make(BINDINGS, &binding)?;
        if let Some(before) = before {
            events.note(format!("the credential of the containers has the ClusterRole {role} now; it had {before}"));
        }
        if self.get(ROLES, role)?.is_none() {
            events.warning(format!(
                "there is no ClusterRole {role} (inject.cluster_role): until there is, the containers may do nothing"
            ));
        }
        Ok(())
    }

    /// Whether the API accepts the token now, as one of the containers' account.
    fn accepts(&self, token: &Token) -> Result<bool> {
        let review = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token.as_str()},
        });
        let verdict = match self.ask(&Method::POST, REVIEWS, Some(&review))? {
            Ok(verdict) => verdict,
            Err(status) => return Err(self.refused("to review the token of the containers", &status)),
        };
        let user = format!("system:serviceaccount:{CONTAINER_ACCOUNT_NAMESPACE}:{CONTAINER_ACCOUNT}");
        Ok(verdict.pointer("/status/authenticated") == Some(&Value::Bool(true))
            && verdict.pointer("/status/user/username").and_then(Value::as_str) == Some(&user))
    }

    /// A new token, valid as long as the Secret of this uid exists, and stored in that Secret.
    fn issue(&self, uid: &str) -> Result<Token> {
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {
                "expirationSeconds": LIFETIME.as_secs(),
                "boundObjectRef": {"apiVersion": "v1", "kind": "Secret", "name": CONTAINER_ACCOUNT, "uid": uid},
            },
        });
        let issued = SystemTime::now();
        let answer = match self.ask(&Method::POST, &format!("{ACCOUNTS}/{CONTAINER_ACCOUNT}/token"), Some(&request))? {
            Ok(answer) => answer,
            Err(status) => {
                return Err(self.refused("to make a token for the containers", &status).next(
                    "inject.variables = [\"*\", \"!KUBECONFIG_PRIMARY\"]    # in .k3s-vm/config.toml: they get none",
                ));
            }
        };
        let text = |place| answer.pointer(place).and_then(Value::as_str).unwrap_or_default();
        let token =
            Token::parse(text("/status/token")).ok_or_else(|| self.unexpected_answer("something that is no token"))?;
        let expires = humantime::parse_rfc3339(text("/status/expirationTimestamp"))
            .map_err(|_| self.unexpected_answer("a token without an expiry time"))?;
        let stored = json!({
            "metadata": {"annotations": {
                ISSUED: humantime::format_rfc3339_seconds(issued).to_string(),
                EXPIRES: humantime::format_rfc3339_seconds(expires).to_string(),
            }},
            "data": {TOKEN: STANDARD.encode(token.as_str())},
        });
        match self.ask(&Method::PATCH, &format!("{SECRETS}/{CONTAINER_ACCOUNT}"), Some(&stored))? {
            Ok(_) => Ok(token),
            Err(status) => Err(self.refused("to store the token of the containers", &status)),
        }
    }

    fn get(&self, collection: &str, name: &str) -> Result<Option<Value>> {
        match self.ask(&Method::GET, &format!("{collection}/{name}"), None)? {
            Ok(found) => Ok(Some(found)),
            Err(status) if status.code == 404 => Ok(None),
            Err(status) => Err(self.refused(&format!("to give {}", shown(collection, name)), &status)),
        }
    }

    /// Creates an object, unless there is one of its name.
    fn make(&self, collection: &str, object: &Value) -> Result<()> {
        match self.ask(&Method::POST, collection, Some(object))? {
            Ok(_) => Ok(()),
            Err(status) if status.code == 409 => Ok(()),
            Err(status) => Err(self.refused(&format!("to make {}", shown(collection, CONTAINER_ACCOUNT)), &status)),
        }
    }

    /// Deletes exactly this object, not a later one of the same name.
    fn delete(&self, collection: &str, object: &Value) -> Result<()> {
        let options = json!({
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": {"uid": uid_of(object)},
        });
        match self.ask(&Method::DELETE, &format!("{collection}/{CONTAINER_ACCOUNT}"), Some(&options))? {
            Ok(_) => Ok(()),
            Err(status) if status.code == 404 => Ok(()),
            Err(status) => Err(self.refused(&format!("to delete {}", shown(collection, CONTAINER_ACCOUNT)), &status)),
        }
    }

    /// Sends one request; the inner error is a refusal of the API.
    fn ask(&self, method: &Method, path: &str, body: Option<&Value>) -> Result<Result<Value, Box<Status>>> {
        let (target, kind) = match *method {
            Method::GET | Method::DELETE => (path.to_owned(), "application/json"),
            Method::PATCH => (format!("{path}?fieldManager={FIELD_MANAGER}"), "application/merge-patch+json"),
            _ => (format!("{path}?fieldManager={FIELD_MANAGER}"), "application/json"),
        };
        let body = body.map(Value::to_string).unwrap_or_default().into_bytes();
        let request = http::Request::builder().method(method).uri(target).header("content-type", kind).body(body);
        let request = request.map_err(|error| Error::new(ErrorClass::Failed, "cannot ask the API").because(error))?;
        match self.client.within(self.deadline.left(), self.client.kube().request::<Value>(request))? {
            Some(Ok(answer)) => Ok(Ok(answer)),
            Some(Err(kube::Error::Api(status))) if status.code != 401 => Ok(Err(status)),
            Some(Err(error)) => Err(self.client.request_error("the credential of the containers", &error).into()),
            None => Err(Error::new(ErrorClass::Timeout, format!("{} did not answer in time", self.client.server()))
                .because("asked for the credential of the containers")),
        }
    }

    fn refused(&self, what: &str, status: &Status) -> Error {
        Error::new(ErrorClass::Cluster, format!("{} refused {what}", self.client.server())).because(sentence(status))
    }

    fn unexpected_answer(&self, what: &str) -> Error {
        Error::new(ErrorClass::Cluster, format!("{} did not make a token for the containers", self.client.server()))
            .because(format!("it answered with {what}"))
    }
}

/// The token in the Secret, where more than half of its lifetime is left.
fn fresh_token(secret: &Value, now: SystemTime) -> Option<Token> {
    let time = |key: &str| {
        let text = secret.pointer("/metadata/annotations")?.get(key)?.as_str()?;
        humantime::parse_rfc3339(text).ok()
    };
    let (issued, expires) = (time(ISSUED)?, time(EXPIRES)?);
    let half = expires.duration_since(issued).ok()? / 2;
    if expires.duration_since(now).ok()? <= half {
        return None;
    }
    let encoded = secret.pointer("/data")?.get(TOKEN)?.as_str()?;
    Token::parse(&String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?)
}

/// The ClusterRole of a binding, where it binds our account alone.
fn bound_role(binding: &Value) -> Option<&str> {
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let [subject] = binding.get("subjects")?.as_array()?.as_slice() else { return None };
    let is_ours = text(subject, "kind")? == "ServiceAccount"
        && text(subject, "name")? == CONTAINER_ACCOUNT
        && text(subject, "namespace")? == CONTAINER_ACCOUNT_NAMESPACE;
    let role = binding.get("roleRef")?;
    (is_ours && text(role, "kind")? == "ClusterRole").then(|| role.get("name")?.as_str()).flatten()
}

fn uid_of(object: &Value) -> Option<String> {
    object.pointer("/metadata/uid").and_then(Value::as_str).map(str::to_owned)
}

fn metadata() -> Value {
    json!({"name": CONTAINER_ACCOUNT, "labels": {"app.kubernetes.io/managed-by": FIELD_MANAGER}})
}

/// `secrets k3s-vm-containers`.
fn shown(collection: &str, name: &str) -> String {
    format!("{} {name}", collection.rsplit('/').next().unwrap_or_default())
}

#[cfg(test)]
mod tests;
