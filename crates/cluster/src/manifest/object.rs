//! One object of a manifest, and where it was written.
//!
//! Pure.

use std::fmt;

use model::{Error, ErrorClass, Result};
use serde_json::{Map, Value};

/// Where an object was written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The file as messages show it.
    pub file: String,
    /// The line on which the object begins, from 1; 0 for an object that is in no file.
    pub line: u64,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 { f.write_str(&self.file) } else { write!(f, "{}:{}", self.file, self.line) }
    }
}

/// One object of a manifest. `apiVersion`, `kind` and `metadata.name` are strings that are not empty.
#[derive(Debug, Clone, PartialEq)]
pub struct ManifestObject {
    value: Value,
    origin: Origin,
}

impl ManifestObject {
    /// An object that this program made.
    ///
    /// # Errors
    /// A Config error where `apiVersion`, `kind` or `metadata.name` is missing.
    pub fn new(value: Value, origin: Origin) -> Result<Self> {
        ManifestObject::checked(value, origin.clone()).map_err(|mistakes| {
            Error::new(ErrorClass::Config, format!("{origin} is no object that can be applied"))
                .because(mistakes.join(", "))
        })
    }

    /// An object that a file has.
    ///
    /// # Errors
    /// The mistakes that prevent the value from being sent.
    pub(super) fn checked(value: Value, origin: Origin) -> Result<Self, Vec<String>> {
        let mistakes = mistakes_of(&value);
        if mistakes.is_empty() { Ok(ManifestObject { value, origin }) } else { Err(mistakes) }
    }

    /// `apiVersion`: `v1`, `apps/v1`.
    pub fn api_version(&self) -> &str {
        self.value["apiVersion"].as_str().unwrap_or_default()
    }
    /// `kind`: `Deployment`.
    pub fn kind(&self) -> &str {
        self.value["kind"].as_str().unwrap_or_default()
    }
    /// `metadata.name`.
    pub fn name(&self) -> &str {
        self.value["metadata"]["name"].as_str().unwrap_or_default()
    }
    /// `metadata.namespace`, where the object has one.
    pub fn namespace(&self) -> Option<&str> {
        self.value["metadata"]["namespace"].as_str().filter(|namespace| !namespace.is_empty())
    }
    /// The API group, empty for the core group.
    pub fn group(&self) -> &str {
        self.api_version().split_once('/').map_or("", |(group, _)| group)
    }
    /// Whether it is a Deployment of the group `apps`.
    pub fn is_deployment(&self) -> bool {
        self.kind() == "Deployment" && self.group() == "apps"
    }
    /// Where it was written.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }
    /// The whole object.
    pub fn value(&self) -> &Value {
        &self.value
    }
    /// The whole object. The caller must not change `apiVersion`, `kind` or `metadata.name`.
    pub(crate) fn value_mut(&mut self) -> &mut Value {
        &mut self.value
    }
    /// Sets a label.
    pub(crate) fn label(&mut self, key: &str, value: &str) {
        let metadata = self.value.get_mut("metadata").and_then(Value::as_object_mut);
        if let Some(labels) = metadata.and_then(|metadata| map_in(metadata, "labels")) {
            labels.insert(key.to_owned(), value.into());
        }
    }
    /// Sets an annotation of the pod template, where the object has one.
    pub(crate) fn annotate_pod_template(&mut self, key: &str, value: &str) {
        let Some(template) = self.value.pointer_mut("/spec/template").and_then(Value::as_object_mut) else { return };
        let Some(metadata) = map_in(template, "metadata") else { return };
        let Some(annotations) = map_in(metadata, "annotations") else { return };
        annotations.insert(key.to_owned(), value.into());
    }
}

/// The map under `key`, made where it is missing or null; `None` where the value is no map.
fn map_in<'a>(parent: &'a mut Map<String, Value>, key: &str) -> Option<&'a mut Map<String, Value>> {
    let value = parent.entry(key).or_insert(Value::Null);
    if value.is_null() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut()
}

/// `deployment shop/web`, as messages name an object.
impl fmt::Display for ManifestObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind().to_lowercase())?;
        match self.namespace() {
            Some(namespace) => write!(f, " {namespace}/{}", self.name()),
            None => write!(f, " {}", self.name()),
        }
    }
}

/// Sets `namespace` in the Deployments and Secrets that name none, so that the Secrets made for them are put beside
/// them.
pub fn name_namespace(objects: &mut [ManifestObject], namespace: &str) {
    for object in objects {
        let is_secret = object.kind() == "Secret" && object.group().is_empty();
        if (object.is_deployment() || is_secret) && object.namespace().is_none() {
            object.value_mut()["metadata"]["namespace"] = namespace.into();
        }
    }
}

/// The mistakes that prevent a value from being sent as an object.
fn mistakes_of(value: &Value) -> Vec<String> {
    let Value::Object(object) = value else {
        return vec![format!("expected an object, found {}", a_kind_of(value))];
    };
    let metadata = object.get("metadata");
    let mut mistakes = Vec::new();
    for (path, found) in [("apiVersion", object.get("apiVersion")), ("kind", object.get("kind"))] {
        mistakes.extend(mistake_of_text(path, found));
    }
    match metadata {
        None | Some(Value::Object(_)) => {
            let member = |key: &str| metadata.and_then(|metadata| metadata.get(key));
            match (member("name"), member("generateName")) {
                (None, Some(_)) => mistakes.push(
                    "metadata.generateName gives a new object each time and cannot be applied: use metadata.name"
                        .to_owned(),
                ),
                (name, _) => mistakes.extend(mistake_of_text("metadata.name", name)),
            }
            if let Some(namespace) = member("namespace").filter(|namespace| !namespace.is_null()) {
                mistakes.extend(mistake_of_text("metadata.namespace", Some(namespace)));
            }
        }
        Some(other) => mistakes.push(format!("metadata is {}, not an object", a_kind_of(other))),
    }
    mistakes
}

fn mistake_of_text(path: &str, value: Option<&Value>) -> Option<String> {
    match value {
        Some(Value::String(text)) if !text.is_empty() => None,
        None | Some(Value::Null | Value::String(_)) => Some(format!("{path} is missing")),
        Some(scalar @ (Value::Number(_) | Value::Bool(_))) => Some(format!("{path} is {scalar}, not a text: quote it")),
        Some(other) => Some(format!("{path} is {}, not a text", a_kind_of(other))),
    }
}

fn a_kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
