//! The credential of the containers: a ServiceAccount of their own, the ClusterRole that it is bound to, and a token.
//!
//! The token is bound to a Secret, in which it is kept as well: whoever deletes that Secret has revoked the token, and as
//! long as it is good every apply finds the same one, so that no pod rolls for nothing. All of it lives in the cluster, and
//! goes with it where that is saved, restored or forked. The objects belong to no apply set: they are never listed or
//! pruned with those of the project.

use std::fmt;
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
use crate::request_error::{self, sentence};

/// The name of the ServiceAccount, the Secret and the ClusterRoleBinding.
pub const CONTAINER_ACCOUNT: &str = "k3s-vm-containers";
/// The namespace of the first two: one that every cluster has, and no user calls their own.
pub const CONTAINER_ACCOUNT_NAMESPACE: &str = "kube-system";

/// As long as the API's certificates live: a snapshot can be restored nearly as long as that, and nothing is applied to it.
/// A token that has lived half of its life is replaced by the next apply.
const LIFETIME: Duration = Duration::from_secs(365 * 24 * 60 * 60);
const ISSUED: &str = "k3s-vm.dev/issued";
const EXPIRES: &str = "k3s-vm.dev/expires";
/// The key of the token in the Secret.
const TOKEN: &str = "token";
/// No token is longer; the real ones have about a thousand characters.
const LONGEST_TOKEN: usize = 16 * 1024;

const ACCOUNTS: &str = "/api/v1/namespaces/kube-system/serviceaccounts";
const SECRETS: &str = "/api/v1/namespaces/kube-system/secrets";
const BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
const ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
const REVIEWS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";

/// A bearer token.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The token in `text`, which nobody vouches for; nothing where it has a letter that no token has (RFC 6750, b64token).
    fn parse(text: &str) -> Option<Self> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        (!text.is_empty() && text.len() <= LONGEST_TOKEN && text.bytes().all(legal)).then(|| Token(text.to_owned()))
    }

    /// Stands for the token that an apply would make.
    pub fn to_be_made() -> Self {
        Token("to-be-made-by-apply".to_owned())
    }

    /// Its text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Tokens stay out of debug output.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// What the containers have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerAccount {
    /// The token that an apply would find to be good.
    pub token: Option<Token>,
    /// The name of the ClusterRole that it is bound to.
    pub role: Option<String>,
}

impl ClusterClient {
    /// The token of the containers, bound to the ClusterRole `role`, or to none. What is missing or differs is made; what
    /// is as it should be is left alone.
    ///
    /// # Errors
    /// A Cluster error where the API refuses a part of it, a Timeout error after `deadline`.
    pub fn container_token(&self, role: Option<&str>, deadline: Duration, events: &dyn EventSink) -> Result<Token> {
        let desk = Desk { client: self, deadline: Deadline::after(deadline) };
        // First, so that no token is handed out with more rights than it is to have.
        desk.bind(role, events)?;
        let secret = desk.get(SECRETS, CONTAINER_ACCOUNT)?;
        if let Some(token) = secret.as_ref().and_then(|secret| young_token(secret, SystemTime::now()))
            && desk.accepts(&token)?
        {
            return Ok(token);
        }
        desk.make(ACCOUNTS, &json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata()}))?;
        let uid = match secret.as_ref().and_then(uid_of) {
            Some(uid) => uid,
            None => {
                desk.make(SECRETS, &json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata()}))?;
                let made = desk.get(SECRETS, CONTAINER_ACCOUNT)?;
                made.as_ref().and_then(uid_of).ok_or_else(|| desk.nonsense("a Secret without a uid"))?
            }
        };
        let token = desk.issue(&uid)?;
        events.debug("the containers have a new token".to_owned());
        Ok(token)
    }

    /// What the containers have now; nothing is changed.
    ///
    /// # Errors
    /// As [`ClusterClient::container_token`].
    pub fn look_container_account(&self, deadline: Duration) -> Result<ContainerAccount> {
        let desk = Desk { client: self, deadline: Deadline::after(deadline) };
        let binding = desk.get(BINDINGS, CONTAINER_ACCOUNT)?;
        let role = binding.as_ref().and_then(bound_role).map(str::to_owned);
        let token = match desk.get(SECRETS, CONTAINER_ACCOUNT)?.and_then(|it| young_token(&it, SystemTime::now())) {
            Some(token) if desk.accepts(&token)? => Some(token),
            _ => None,
        };
        Ok(ContainerAccount { token, role })
    }

    /// Takes the credential away from containers that are to have none. Whether there was one.
    ///
    /// # Errors
    /// As [`ClusterClient::container_token`].
    pub fn revoke_container_account(&self, deadline: Duration) -> Result<bool> {
        let desk = Desk { client: self, deadline: Deadline::after(deadline) };
        // It goes last: where it is gone, all is.
        let Some(account) = desk.get(ACCOUNTS, CONTAINER_ACCOUNT)? else { return Ok(false) };
        for collection in [BINDINGS, SECRETS] {
            if let Some(object) = desk.get(collection, CONTAINER_ACCOUNT)? {
                desk.delete(collection, &object)?;
            }
        }
        desk.delete(ACCOUNTS, &account)?;
        Ok(true)
    }
}

/// The requests, within one deadline.
struct Desk<'a> {
    client: &'a ClusterClient,
    deadline: Deadline,
}

impl Desk<'_> {
    /// Has the binding say `role`. What a binding refers to cannot be changed, so that one that says something else goes.
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

    /// Whether the API takes the token for one of the containers' account, now.
    fn accepts(&self, token: &Token) -> Result<bool> {
        let review = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token.as_str()},
        });
        let verdict = match self.ask(&Method::POST, REVIEWS, Some(&review))? {
            Ok(verdict) => verdict,
            Err(status) => return Err(self.refused("to look at the token of the containers", &status)),
        };
        let user = format!("system:serviceaccount:{CONTAINER_ACCOUNT_NAMESPACE}:{CONTAINER_ACCOUNT}");
        Ok(verdict.pointer("/status/authenticated") == Some(&Value::Bool(true))
            && verdict.pointer("/status/user/username").and_then(Value::as_str) == Some(&user))
    }

    /// A new token, good as long as the Secret of this uid is there; it is kept in that Secret.
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
        let token = Token::parse(text("/status/token")).ok_or_else(|| self.nonsense("something that is no token"))?;
        let expires = humantime::parse_rfc3339(text("/status/expirationTimestamp"))
            .map_err(|_| self.nonsense("a token that has no end"))?;
        let kept = json!({
            "metadata": {"annotations": {
                ISSUED: humantime::format_rfc3339_seconds(issued).to_string(),
                EXPIRES: humantime::format_rfc3339_seconds(expires).to_string(),
            }},
            "data": {TOKEN: STANDARD.encode(token.as_str())},
        });
        match self.ask(&Method::PATCH, &format!("{SECRETS}/{CONTAINER_ACCOUNT}"), Some(&kept))? {
            Ok(_) => Ok(token),
            Err(status) => Err(self.refused("to keep the token of the containers", &status)),
        }
    }

    fn get(&self, collection: &str, name: &str) -> Result<Option<Value>> {
        match self.ask(&Method::GET, &format!("{collection}/{name}"), None)? {
            Ok(found) => Ok(Some(found)),
            Err(status) if status.code == 404 => Ok(None),
            Err(status) => Err(self.refused(&format!("to give {}", shown(collection, name)), &status)),
        }
    }

    /// One that is there already will do.
    fn make(&self, collection: &str, object: &Value) -> Result<()> {
        match self.ask(&Method::POST, collection, Some(object))? {
            Ok(_) => Ok(()),
            Err(status) if status.code == 409 => Ok(()),
            Err(status) => Err(self.refused(&format!("to make {}", shown(collection, CONTAINER_ACCOUNT)), &status)),
        }
    }

    /// Deletes this very object.
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

    /// One request; what the API says where it refuses.
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
            Some(Err(error)) => Err(request_error::of_request(self.client, "the credential of the containers", &error)),
            None => Err(Error::new(ErrorClass::Timeout, format!("{} did not answer in time", self.client.server()))
                .because("asked for the credential of the containers")),
        }
    }

    fn refused(&self, what: &str, status: &Status) -> Error {
        Error::new(ErrorClass::Cluster, format!("{} refused {what}", self.client.server())).because(sentence(status))
    }

    fn nonsense(&self, what: &str) -> Error {
        Error::new(ErrorClass::Cluster, format!("{} did not make a token for the containers", self.client.server()))
            .because(format!("it answered with {what}"))
    }
}

/// The token in the Secret, where it has more than half of its life before it.
fn young_token(secret: &Value, now: SystemTime) -> Option<Token> {
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
