//! A unified diff of an object as YAML, before and after an apply.
//!
//! Pure. Fields that only the server writes are left out, and secret values are masked: the diff shows only that they
//! changed.

use std::collections::HashMap;

use serde_json::{Map, Value};
use similar::TextDiff;

use crate::yaml;

/// The lines of context around a change.
const CONTEXT: usize = 3;
const MASK: &str = "***";
/// kubectl's client-side apply stores whole objects in it, Secrets too.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Which values are masked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Masking {
    /// Whether the literal values of containers' variables are masked as well.
    pub(crate) variables: bool,
}

/// The diff of `before`, where there is one, and `after`; empty where they differ in no field that the user sets.
/// `title` names the object.
pub(crate) fn unified(title: &str, before: Option<&Value>, after: &Value, masking: Masking) -> String {
    let mut before = before.map(essence);
    let mut after = essence(after);
    if before.as_ref() == Some(&after) {
        return String::new();
    }
    mask(before.as_mut(), &mut after, masking);
    let text = |value: &Value| yaml::write(value);
    let old = before.as_ref().map(text).unwrap_or_default();
    let new = text(&after);
    TextDiff::from_lines(&old, &new)
        .unified_diff()
        .context_radius(CONTEXT)
        .header(&format!("{title} (in the cluster)"), &format!("{title} (after apply)"))
        .to_string()
}

/// The object without the server's own fields, with its keys in alphabetical order as kubectl shows it.
fn essence(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(object) = object.as_object_mut() {
        object.shift_remove("status");
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            for key in ["managedFields", "resourceVersion", "uid", "creationTimestamp", "generation", "selfLink"] {
                metadata.shift_remove(key);
            }
        }
    }
    sorted(object)
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut members: Vec<(String, Value)> =
                members.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            members.sort_by(|one, other| one.0.cmp(&other.0));
            Value::Object(Map::from_iter(members))
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}

fn mask(mut before: Option<&mut Value>, after: &mut Value, masking: Masking) {
    let mut old: HashMap<String, String> =
        before.as_deref().map(|before| secrets(before, masking)).unwrap_or_default().into_iter().collect();
    let cover = |pointer: &str, side: &str, value: &mut Value| {
        if let Some(value) = value.pointer_mut(pointer) {
            *value = format!("{MASK}{side}").into();
        }
    };
    for (name, pointer) in secrets(after, masking) {
        let both = old.remove(&name).zip(before.as_deref_mut());
        match both {
            Some((old_pointer, before)) => {
                let same = before.pointer(&old_pointer) == after.pointer(&pointer);
                cover(&old_pointer, if same { "" } else { " (before)" }, before);
                cover(&pointer, if same { "" } else { " (after)" }, after);
            }
            None => cover(&pointer, "", after),
        }
    }
    if let Some(before) = before {
        old.values().for_each(|pointer| cover(pointer, "", before));
    }
}

/// The secret values of an object: a name for each, and the JSON pointer (RFC 6901) to it.
fn secrets(object: &Value, masking: Masking) -> Vec<(String, String)> {
    let mut found = Vec::new();
    if object["kind"] == "Secret" && object["apiVersion"] == "v1" {
        for map in ["data", "stringData"] {
            let names = object[map].as_object().into_iter().flat_map(Map::keys);
            found.extend(names.map(|name| (format!("{map} {name}"), format!("/{map}/{}", escaped(name)))));
        }
    }
    if object["metadata"]["annotations"].get(LAST_APPLIED).is_some() {
        found.push((LAST_APPLIED.to_owned(), format!("/metadata/annotations/{}", escaped(LAST_APPLIED))));
    }
    if masking.variables {
        found.extend(variables(object));
    }
    found
}

fn variables(object: &Value) -> Vec<(String, String)> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut found = Vec::new();
    for (index, container) in list(&object["spec"]["template"]["spec"]["containers"]).iter().enumerate() {
        for (entry, variable) in list(&container["env"]).iter().enumerate() {
            if variable.get("value").is_some() {
                let pointer = format!("/spec/template/spec/containers/{index}/env/{entry}/value");
                found.push((format!("{} {}", container["name"], variable["name"]), pointer));
            }
        }
    }
    found
}

fn escaped(token: &str) -> String {
    token.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests;
