//! Puts the variables of the web application's `.env` into the containers of the Deployments.
//!
//! Pure: objects in, objects out. Init containers get no variables: they prepare the pod and are not the application.

use std::collections::{BTreeMap, BTreeSet};

use model::config::{InjectConfig, InjectMode};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::manifest::{ManifestObject, Origin};

/// The name of the Secret with the variables, in each namespace that has a Deployment.
pub const SECRET_NAME: &str = "web-env";
/// The annotation of the pod template that changes when a value changes, so that the pods restart.
pub const HASH_ANNOTATION: &str = "k3s-vm.dev/env-sha256";

const KUBECONFIG: &str = "KUBECONFIG";
const KUBECONFIG_PRIMARY: &str = "KUBECONFIG_PRIMARY";

/// A variable that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedVariable {
    /// The name as it is written.
    pub name: String,
    /// Why Kubernetes would refuse it.
    pub reason: String,
}

/// The result of [`inject`].
#[derive(Debug, Clone, PartialEq)]
pub struct Injection {
    /// The objects to apply: the Secrets first, then the given ones, changed.
    pub objects: Vec<ManifestObject>,
    /// The variables that were left out, in the order of the file.
    pub refused: Vec<RefusedVariable>,
    /// The hexadecimal SHA-256 of the injected variables; empty where nothing was injected.
    pub hash: String,
}

/// Injects `variables` as `config` says. Of two variables of the same name the later one wins. `KUBECONFIG` is left out
/// (its file is not in the container); `KUBECONFIG_PRIMARY` gets the value `kubeconfig_primary` in place of the file's,
/// or is left out where that is `None`.
///
/// Variables that the manifest sets win: in mode Secret because in Kubernetes `env` overrides `envFrom` (our reference
/// is the first, so that the manifest's own `envFrom` wins as well), in mode Env because a name that the container has
/// is not added.
pub fn inject(
    objects: Vec<ManifestObject>,
    variables: &[(String, String)],
    config: &InjectConfig,
    kubeconfig_primary: Option<&str>,
) -> Injection {
    let mode = config.mode;
    let untouched = |objects| Injection { objects, refused: Vec::new(), hash: String::new() };
    if mode == InjectMode::Off {
        return untouched(objects);
    }
    let (accepted, refused) = sift(variables, config, kubeconfig_primary);
    if !objects.iter().any(|object| gets_variables(object, config)) {
        return Injection { refused, ..untouched(objects) };
    }
    let hash = hash_of(&accepted);
    let mut result = Vec::with_capacity(objects.len() + 1);
    if mode == InjectMode::Secret {
        result.extend(secrets(&objects, &accepted, config));
    }
    for mut object in objects {
        if mode == InjectMode::Secret && is_our_secret(&object) {
            complete(object.value_mut(), &accepted);
        }
        if gets_variables(&object, config) {
            if mode == InjectMode::Secret {
                object.annotate_pod_template(HASH_ANNOTATION, &hash);
            }
            for container in containers(object.value_mut(), config) {
                match mode {
                    InjectMode::Secret => refer_to_secret(container),
                    InjectMode::Env => add_literals(container, &accepted),
                    InjectMode::Off => {}
                }
            }
        }
        result.push(object);
    }
    Injection { objects: result, refused, hash }
}

/// Whether `KUBECONFIG_PRIMARY` goes into a container of `objects`; if not, its kubeconfig need not be made.
pub fn wants_kubeconfig(objects: &[ManifestObject], config: &InjectConfig) -> bool {
    config.mode != InjectMode::Off
        && config.variables.matches(&[KUBECONFIG_PRIMARY])
        && objects.iter().any(|object| gets_variables(object, config))
}

/// Whether an object gets variables: a Deployment that the configuration does not exclude.
fn gets_variables(object: &ManifestObject, config: &InjectConfig) -> bool {
    let name = object.name();
    object.is_deployment() && config.deployments.matches(&[name, &format!("{}/{name}", namespace_of(object))])
}

/// Splits the variables into those that are injected, sorted by name, and those that Kubernetes would refuse.
fn sift(
    variables: &[(String, String)],
    config: &InjectConfig,
    kubeconfig_primary: Option<&str>,
) -> (Vec<(String, String)>, Vec<RefusedVariable>) {
    let wanted = |name: &str| config.variables.matches(&[name]);
    let mut accepted: BTreeMap<String, String> = BTreeMap::new();
    let mut refused: Vec<RefusedVariable> = Vec::new();
    for (name, value) in variables.iter().filter(|(name, _)| wanted(name)) {
        if name == KUBECONFIG || name == KUBECONFIG_PRIMARY {
            continue;
        }
        match reason_to_refuse(name, value, config.mode) {
            None => {
                accepted.insert(name.clone(), value.clone());
            }
            Some(reason) if !refused.iter().any(|variable| variable.name == *name) => {
                refused.push(RefusedVariable { name: name.clone(), reason });
            }
            Some(_) => {}
        }
    }
    if let Some(value) = kubeconfig_primary.filter(|_| wanted(KUBECONFIG_PRIMARY)) {
        accepted.insert(KUBECONFIG_PRIMARY.to_owned(), value.to_owned());
    }
    (accepted.into_iter().collect(), refused)
}

/// The name of a variable is printable ASCII without `=` (`IsRelaxedEnvVarName` of
/// k8s.io/apimachinery/pkg/util/validation, in force since Kubernetes 1.32). As the key of a Secret it is letters,
/// digits, `-`, `_` and `.`, at most 253, and neither `.` nor begins with `..` (`IsConfigMapKey`). A NUL cannot be in
/// a process's environment (execve(2)).
fn reason_to_refuse(name: &str, value: &str, mode: InjectMode) -> Option<String> {
    let in_a_key = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let in_a_name = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b'=';
    let foreign = |legal: &dyn Fn(u8) -> bool| name.chars().find(|letter| !u8::try_from(*letter).is_ok_and(legal));
    if value.contains('\0') {
        return Some("the value has a NUL character".to_owned());
    }
    if name.is_empty() {
        return Some("the name is empty".to_owned());
    }
    if let Some(letter) = foreign(&in_a_name) {
        return Some(format!("the name has {letter:?}: only printable ASCII other than `=` is allowed"));
    }
    if mode != InjectMode::Secret {
        return None;
    }
    if let Some(letter) = foreign(&in_a_key) {
        Some(format!("the name has {letter:?}: the key of a Secret has only letters, digits, `-`, `_` and `.`"))
    } else if name == "." || name.starts_with("..") {
        Some("the key of a Secret cannot be `.` or begin with `..`".to_owned())
    } else if name.len() > 253 {
        Some("the key of a Secret has at most 253 characters".to_owned())
    } else {
        None
    }
}

/// Lengths are hashed too: `A=1,B=` and `A=1B=` are not the same.
fn hash_of(variables: &[(String, String)]) -> String {
    let mut hasher = Sha256::new();
    for text in variables.iter().flat_map(|(name, value)| [name, value]) {
        hasher.update((text.len() as u64).to_le_bytes());
        hasher.update(text);
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The namespace of an object of a kind that has one.
fn namespace_of(object: &ManifestObject) -> &str {
    object.namespace().unwrap_or("default")
}

fn is_our_secret(object: &ManifestObject) -> bool {
    object.kind() == "Secret" && object.group().is_empty() && object.name() == SECRET_NAME
}

fn data_of(variables: &[(String, String)]) -> Map<String, Value> {
    variables.iter().map(|(name, value)| (name.clone(), encoded(value))).collect()
}

/// One Secret for each namespace with a Deployment that gets variables, unless the manifests have this Secret.
fn secrets(objects: &[ManifestObject], variables: &[(String, String)], config: &InjectConfig) -> Vec<ManifestObject> {
    let written: BTreeSet<&str> = objects.iter().filter(|object| is_our_secret(object)).map(namespace_of).collect();
    let getting = objects.iter().filter(|object| gets_variables(object, config));
    let needed: BTreeSet<&str> = getting.map(namespace_of).collect();
    needed
        .difference(&written)
        .filter_map(|namespace| {
            let value = json!({
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": SECRET_NAME, "namespace": namespace},
                "type": "Opaque",
                "data": data_of(variables),
            });
            let file = "the Secret made from the web application's .env".to_owned();
            ManifestObject::new(value, Origin { file, line: 0 }).ok()
        })
        .collect()
}

/// Adds the variables to a Secret of the manifests that has our name; its own keys win.
fn complete(secret: &mut Value, variables: &[(String, String)]) {
    let Some(secret) = secret.as_object_mut() else { return };
    let texts: Vec<String> = secret
        .get("stringData")
        .and_then(Value::as_object)
        .map(|texts| texts.keys().cloned().collect())
        .unwrap_or_default();
    let data = secret.entry("data").or_insert(Value::Null);
    if data.is_null() {
        *data = Value::Object(Map::new());
    }
    if let Value::Object(data) = data {
        for (name, value) in data_of(variables) {
            if !texts.contains(&name) {
                data.entry(name).or_insert(value);
            }
        }
    }
}

fn encoded(value: &str) -> Value {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(value).into()
}

/// The containers that get variables.
fn containers<'a>(
    deployment: &'a mut Value,
    config: &'a InjectConfig,
) -> impl Iterator<Item = &'a mut Map<String, Value>> {
    let containers = deployment.pointer_mut("/spec/template/spec/containers").and_then(Value::as_array_mut);
    let named = |container: &Map<String, Value>| {
        config.containers.matches(&[container.get("name").and_then(Value::as_str).unwrap_or_default()])
    };
    containers.into_iter().flatten().filter_map(Value::as_object_mut).filter(move |container| named(container))
}

fn refer_to_secret(container: &mut Map<String, Value>) {
    let sources = container.entry("envFrom").or_insert(Value::Null);
    if sources.is_null() {
        *sources = Value::Array(Vec::new());
    }
    if let Value::Array(sources) = sources {
        let ours = |source: &Value| {
            source.pointer("/secretRef/name").and_then(Value::as_str) == Some(SECRET_NAME)
                && source.get("prefix").is_none()
        };
        if !sources.iter().any(ours) {
            sources.insert(0, json!({"secretRef": {"name": SECRET_NAME}}));
        }
    }
}

fn add_literals(container: &mut Map<String, Value>, variables: &[(String, String)]) {
    let entries = container.entry("env").or_insert(Value::Null);
    if entries.is_null() {
        *entries = Value::Array(Vec::new());
    }
    if let Value::Array(entries) = entries {
        for (name, value) in variables {
            if !entries.iter().any(|entry| entry["name"] == name.as_str()) {
                entries.push(json!({"name": name, "value": escaped(value)}));
            }
        }
    }
}

/// The kubelet expands `$(NAME)` in the value of an `env` entry, and `$$` is a `$` (Kubernetes API, EnvVar.value);
/// in a Secret it does not. So a value means the same in both modes.
fn escaped(value: &str) -> String {
    value.replace('$', "$$")
}

#[cfg(test)]
mod tests;
