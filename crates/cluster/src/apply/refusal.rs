//! Why the server refused an object, in the user's words, and the next command where one is known.
//!
//! Pure: a status in, texts out. The reasons and codes are those of the Kubernetes API conventions ("Response Status
//! Kind") and of server-side apply ("Conflicts").

use kube::core::Status;
use kube::core::response::StatusCause;
use model::{Error, ErrorClass};

use super::inventory::PART_OF_LABEL;
use crate::client::Advice;
use crate::error_text::sentence;
use crate::manifest::ManifestObject;

/// The refusal of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The object's place in the manifests, its name, and why it was refused.
    pub(crate) reason: String,
    /// The next command.
    pub(crate) next: Option<String>,
}

impl Refusal {
    /// A refusal of `object` for the reason `why`.
    pub(crate) fn new(object: &ManifestObject, why: &str) -> Self {
        Refusal { reason: format!("{}: {object}: {why}", object.origin()), next: None }
    }

    fn next(self, step: String) -> Self {
        Refusal { next: Some(step), ..self }
    }
}

/// The error of all `refusals`: a reason for each, and every next command once.
pub(crate) fn error(refusals: Vec<Refusal>) -> Error {
    let headline = match refusals.len() {
        1 => "the cluster refused an object of the manifests".to_owned(),
        count => format!("the cluster refused {count} objects of the manifests"),
    };
    let mut steps: Vec<String> = Vec::new();
    let mut error = Error::new(ErrorClass::Cluster, headline);
    for Refusal { reason, next } in refusals {
        error = error.because(reason);
        steps.extend(next.into_iter().filter(|step| !steps.contains(step)).collect::<Vec<_>>());
    }
    steps.into_iter().fold(error, Error::next)
}

/// The refusal of an object of a kind that the server does not have.
pub(crate) fn of_unknown_kind(object: &ManifestObject, group_is_known: bool, advice: &Advice) -> Refusal {
    let (kind, version) = (object.kind(), object.api_version());
    let why = if group_is_known {
        format!("the cluster knows {version}, but no kind {kind} in it")
    } else {
        format!("the cluster does not know the kind {kind} of {version}")
    };
    Refusal::new(object, &why).next(format!(
        "{} api-resources    # lists the kinds; a custom kind needs its CustomResourceDefinition in the manifests",
        advice.kubectl
    ))
}

/// The refusal of an object with a namespace whose kind has none. kubectl silently drops the namespace.
pub(crate) fn of_needless_namespace(object: &ManifestObject) -> Refusal {
    let why = format!("a {} belongs to the whole cluster and has no namespace", object.kind());
    Refusal::new(object, &why).next("take metadata.namespace out of the manifest".to_owned())
}

/// The refusal of an object that another project applies.
pub(crate) fn of_other_set(object: &ManifestObject, set: &str, advice: &Advice) -> Refusal {
    let why = format!("another project applies it: it is labelled {PART_OF_LABEL}={set}");
    Refusal::new(object, &why).next(format!("{} --force-conflicts    # takes it over", advice.apply))
}

/// The refusal of `object`, which was sent to `namespace`, by a status of the server.
pub(crate) fn of_status(object: &ManifestObject, namespace: Option<&str>, status: &Status, advice: &Advice) -> Refusal {
    let causes = status.details.as_ref().map(|details| details.causes.as_slice()).unwrap_or_default();
    conflict(object, status, causes, advice)
        .or_else(|| invalid(object, namespace, status, causes, advice))
        .or_else(|| missing_namespace(object, namespace, status, advice))
        .or_else(|| unknown_fields(object, status, advice))
        .or_else(|| admission(object, status, advice))
        .unwrap_or_else(|| Refusal::new(object, &sentence(status)))
}

fn conflict(object: &ManifestObject, status: &Status, causes: &[StatusCause], advice: &Advice) -> Option<Refusal> {
    let fields: Vec<String> = causes
        .iter()
        .filter(|cause| cause.reason == "FieldManagerConflict")
        .map(|cause| format!("{} belongs to {}", cause.field, manager(&cause.message)))
        .collect();
    if status.code != 409 || fields.is_empty() {
        return None;
    }
    let why = format!("others have set fields that the manifest sets too: {}", fields.join(", "));
    Some(Refusal::new(object, &why).next(format!(
        "{} --force-conflicts    # takes the fields over; or take them out of the manifests",
        advice.apply
    )))
}

/// `"kubectl"` of `conflict with "kubectl" using apps/v1`.
fn manager(message: &str) -> &str {
    message.split('"').nth(1).filter(|name| !name.is_empty()).unwrap_or(message)
}

fn invalid(
    object: &ManifestObject,
    namespace: Option<&str>,
    status: &Status,
    causes: &[StatusCause],
    advice: &Advice,
) -> Option<Refusal> {
    if status.code != 422 || causes.is_empty() {
        return None;
    }
    let (fixed, wrong): (Vec<_>, Vec<_>) = causes.iter().partition(|cause| is_immutable(&cause.message));
    let reason = |cause: &&StatusCause| format!("{}: {}", cause.field, cause.message);
    let mut reasons = Vec::new();
    if !fixed.is_empty() {
        let fields: Vec<&str> = fixed.iter().map(|cause| cause.field.as_str()).collect();
        reasons.push(format!("{} cannot change once the object is there", fields.join(", ")));
    }
    reasons.extend(wrong.iter().map(reason));
    let refusal = Refusal::new(object, &reasons.join("; "));
    if fixed.is_empty() {
        return Some(refusal);
    }
    let place = namespace.map(|namespace| format!(" -n {namespace}")).unwrap_or_default();
    let kind = object.kind().to_lowercase();
    Some(refusal.next(format!(
        "{} delete {kind} {}{place} && {}    # recreates it",
        advice.kubectl,
        object.name(),
        advice.apply
    )))
}

/// Recognizes `field is immutable` of apimachinery's validation, and the messages of Pods, PersistentVolumeClaims and
/// StatefulSets: the API gives no other sign.
fn is_immutable(message: &str) -> bool {
    message.contains("immutable")
        || message.contains("may not change")
        || message.contains("pod updates may not change fields other than")
        || message.contains("updates to statefulset spec for fields other than")
}

fn missing_namespace(
    object: &ManifestObject,
    namespace: Option<&str>,
    status: &Status,
    advice: &Advice,
) -> Option<Refusal> {
    let namespace = namespace?;
    if status.code != 404 || status.details.as_ref().is_none_or(|details| details.kind != "namespaces") {
        return None;
    }
    let why = format!("the namespace {namespace} does not exist");
    Some(Refusal::new(object, &why).next(format!(
        "{} create namespace {namespace}    # or add a Namespace of this name to the manifests",
        advice.kubectl
    )))
}

/// Fields that the kind's schema does not have: the server answers with status 500 and lists them in the message
/// (sigs.k8s.io/structured-merge-diff/v6/typed, "field not declared in schema").
fn unknown_fields(object: &ManifestObject, status: &Status, advice: &Advice) -> Option<Refusal> {
    let parts: Vec<&str> = status.message.split(": field not declared in schema").collect();
    let (_, before) = parts.split_last()?;
    let fields: Vec<&str> = before.iter().filter_map(|part| part.split_whitespace().last()).collect();
    if fields.is_empty() {
        return None;
    }
    let why = format!("{} of {} has no {}", object.kind(), object.api_version(), fields.join(", no "));
    Some(Refusal::new(object, &why).next(format!(
        "{} explain {}    # lists the fields",
        advice.kubectl,
        object.kind().to_lowercase()
    )))
}

/// A webhook that denied the request or failed (k8s.io/apiserver/pkg/admission/plugin/webhook/errors).
fn admission(object: &ManifestObject, status: &Status, advice: &Advice) -> Option<Refusal> {
    let asked = ["admission webhook ", "failed calling webhook "].iter().any(|words| status.message.contains(words));
    asked.then(|| {
        Refusal::new(object, &sentence(status)).next(format!(
            "{} get validatingwebhookconfigurations,mutatingwebhookconfigurations    # lists who is asked",
            advice.kubectl
        ))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::manifest::Origin;

    fn object() -> ManifestObject {
        let value =
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"}});
        ManifestObject::new(value, Origin { file: "manifests/web.yaml".to_owned(), line: 3 }).unwrap()
    }

    fn told(status: serde_json::Value) -> String {
        let refusal = of_status(&object(), Some("shop"), &serde_json::from_value(status).unwrap(), &Advice::own());
        format!("{}\n{}", refusal.reason, refusal.next.unwrap_or_default())
    }

    #[test]
    fn a_conflict_names_fields_and_managers() {
        insta::assert_snapshot!(told(json!({
            "code": 409, "reason": "Conflict", "message": "Apply failed with 2 conflicts: …",
            "details": {"name": "web", "kind": "deployments", "causes": [
                {"reason": "FieldManagerConflict", "field": ".spec.replicas", "message": "conflict with \"kubectl\" using apps/v1"},
                {"reason": "FieldManagerConflict", "field": ".spec.paused", "message": "conflict with \"argo\" with subresource \"x\""}
            ]}
        })), @r"
        manifests/web.yaml:3: deployment shop/web: others have set fields that the manifest sets too: .spec.replicas belongs to kubectl, .spec.paused belongs to argo
        k3s-vm apply --force-conflicts    # takes the fields over; or take them out of the manifests
        ");
    }

    #[test]
    fn a_conflict_of_versions_has_the_words_of_the_server() {
        insta::assert_snapshot!(told(json!({"code": 409, "reason": "Conflict", "message": "object is being deleted"})), @"manifests/web.yaml:3: deployment shop/web: object is being deleted");
    }

    #[test]
    fn immutable_and_wrong_fields_are_distinguished() {
        insta::assert_snapshot!(told(json!({
            "code": 422, "reason": "Invalid", "message": "Deployment.apps \"web\" is invalid: …",
            "details": {"name": "web", "kind": "Deployment", "causes": [
                {"reason": "FieldValueInvalid", "field": "spec.selector", "message": "Invalid value: {…}: field is immutable"},
                {"reason": "FieldValueRequired", "field": "spec.template.spec.containers", "message": "Required value"}
            ]}
        })), @r"
        manifests/web.yaml:3: deployment shop/web: spec.selector cannot change once the object is there; spec.template.spec.containers: Required value
        k3s-vm kubectl delete deployment web -n shop && k3s-vm apply    # recreates it
        ");
    }

    #[test]
    fn a_missing_namespace_is_named() {
        insta::assert_snapshot!(told(json!({
            "code": 404, "reason": "NotFound", "message": "namespaces \"shop\" not found",
            "details": {"name": "shop", "kind": "namespaces"}
        })), @r"
        manifests/web.yaml:3: deployment shop/web: the namespace shop does not exist
        k3s-vm kubectl create namespace shop    # or add a Namespace of this name to the manifests
        ");
    }

    #[test]
    fn fields_that_the_kind_does_not_have_are_named() {
        insta::assert_snapshot!(told(json!({
            "code": 500,
            "message": "failed to create typed patch object (shop/web; apps/v1, Kind=Deployment): errors:\n  .spec.replica: field not declared in schema\n  .spec.template.spec.containers[name=\"web\"].imag: field not declared in schema"
        })), @r#"
        manifests/web.yaml:3: deployment shop/web: Deployment of apps/v1 has no .spec.replica, no .spec.template.spec.containers[name="web"].imag
        k3s-vm kubectl explain deployment    # lists the fields
        "#);
    }

    #[test]
    fn other_statuses_have_the_words_of_the_server() {
        insta::assert_snapshot!(told(json!({"code": 500, "message": "etcdserver: request timed out"})), @"manifests/web.yaml:3: deployment shop/web: etcdserver: request timed out (HTTP status 500)");
        insta::assert_snapshot!(told(json!({"code": 403, "reason": "Forbidden"})), @"manifests/web.yaml:3: deployment shop/web: Forbidden (HTTP status 403)");
    }

    #[test]
    fn an_unknown_kind_is_reported_with_its_version() {
        let told = |known| {
            let refusal = of_unknown_kind(&object(), known, &Advice::own());
            format!("{}\n{}", refusal.reason, refusal.next.unwrap_or_default())
        };
        insta::assert_snapshot!(told(true), @r#"
        manifests/web.yaml:3: deployment shop/web: the cluster knows apps/v1, but no kind Deployment in it
        k3s-vm kubectl api-resources    # lists the kinds; a custom kind needs its CustomResourceDefinition in the manifests
        "#);
        insta::assert_snapshot!(told(false), @r#"
        manifests/web.yaml:3: deployment shop/web: the cluster does not know the kind Deployment of apps/v1
        k3s-vm kubectl api-resources    # lists the kinds; a custom kind needs its CustomResourceDefinition in the manifests
        "#);
    }
}
