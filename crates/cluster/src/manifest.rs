//! Manifests: YAML and JSON documents to objects, read as kubectl reads them.
//!
//! Pure: text in, objects out. Which files there are belongs to [`crate::manifest_files`], the order to
//! [`crate::manifest_order`].

use std::fmt;

use model::{Error, ErrorClass, Result};
use serde_json::Value;

use crate::manifest_documents::{Document, documents};

/// Where an object was written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The file as messages show it.
    pub file: String,
    /// The line on which the object begins, from 1; 0 for an object that no file holds.
    pub line: u64,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 { f.write_str(&self.file) } else { write!(f, "{}:{}", self.file, self.line) }
    }
}

/// One object of a manifest. `apiVersion`, `kind` and `metadata.name` are there and are texts.
#[derive(Debug, Clone, PartialEq)]
pub struct ManifestObject {
    value: Value,
    origin: Origin,
}

impl ManifestObject {
    /// Takes an object that this program made.
    ///
    /// # Errors
    /// A Config error where `apiVersion`, `kind` or `metadata.name` is missing.
    pub fn new(value: Value, origin: Origin) -> Result<Self> {
        match mistakes_of(&value).as_slice() {
            [] => Ok(ManifestObject { value, origin }),
            mistakes => Err(Error::new(ErrorClass::Config, format!("{origin} is no object that can be applied"))
                .because(mistakes.join(", "))),
        }
    }

    /// `v1`, `apps/v1`.
    pub fn api_version(&self) -> &str {
        self.value["apiVersion"].as_str().unwrap_or_default()
    }
    /// `Deployment`.
    pub fn kind(&self) -> &str {
        self.value["kind"].as_str().unwrap_or_default()
    }
    /// `metadata.name`.
    pub fn name(&self) -> &str {
        self.value["metadata"]["name"].as_str().unwrap_or_default()
    }
    /// `metadata.namespace`, where it is written.
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
    /// The whole object, for changes that leave `apiVersion`, `kind` and `metadata.name` alone.
    pub(crate) fn value_mut(&mut self) -> &mut Value {
        &mut self.value
    }
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

/// A file that holds manifests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestText {
    /// The file as messages show it.
    pub file: String,
    /// Its content.
    pub text: String,
}

/// Reads all documents of all files, in the order given. `kind: List` is replaced by its items, empty documents are
/// skipped.
///
/// # Errors
/// One Config error with every mistake of every file as its reasons, each with its file and line; syntax errors with
/// the column too. An object that is written twice is a mistake, since only one of them can be meant.
pub fn parse(files: &[ManifestText]) -> Result<Vec<ManifestObject>> {
    let mut objects: Vec<ManifestObject> = Vec::new();
    let mut mistakes = Vec::new();
    for file in files {
        for document in documents(&file.file, &file.text) {
            match document {
                Ok(document) => take(document, &file.file, &mut objects, &mut mistakes),
                Err(mistake) => {
                    mistakes.push(format!("{}:{}:{}: {}", file.file, mistake.line, mistake.column, mistake.message));
                }
            }
        }
    }
    mistakes.extend(repeated(&objects));
    if mistakes.is_empty() {
        return Ok(objects);
    }
    let count = if mistakes.len() == 1 { "a mistake".to_owned() } else { format!("{} mistakes", mistakes.len()) };
    Err(mistakes
        .into_iter()
        .fold(Error::new(ErrorClass::Config, format!("the manifests have {count}")), Error::because)
        .next("correct the manifests, then: k3s-vm apply"))
}

/// Whether the files say in so many words that no object is wanted: they hold no object, but a List without items.
/// Files that hold nothing at all may have lost it.
pub fn want_nothing(files: &[ManifestText]) -> bool {
    let mut lists = 0;
    for document in files.iter().flat_map(|file| documents(&file.file, &file.text)).flatten() {
        match document.value["items"].as_array() {
            Some(items) if items.is_empty() => lists += 1,
            _ if document.value.is_null() => {}
            _ => return false,
        }
    }
    lists > 0
}

/// Writes `namespace` into the Deployments and Secrets that name none, so that what is made for them goes beside them.
pub fn name_namespace(objects: &mut [ManifestObject], namespace: &str) {
    for object in objects {
        let is_secret = object.kind() == "Secret" && object.group().is_empty();
        if (object.is_deployment() || is_secret) && object.namespace().is_none() {
            object.value_mut()["metadata"]["namespace"] = namespace.into();
        }
    }
}

fn take(document: Document, file: &str, objects: &mut Vec<ManifestObject>, mistakes: &mut Vec<String>) {
    if document.value.is_null() {
        return;
    }
    let origin = Origin { file: file.to_owned(), line: document.line };
    // Every list type that kubectl flattens is called so: List, ConfigMapList, …
    let is_list = document.value["kind"].as_str().is_some_and(|kind| kind.ends_with("List"));
    match document.value {
        Value::Object(mut list) if is_list && list.get("items").is_some_and(Value::is_array) => {
            let Some(Value::Array(items)) = list.remove("items") else { return };
            for (index, item) in items.into_iter().enumerate() {
                let line = document.item_lines.get(index).copied().unwrap_or(document.line);
                take(Document { value: item, line, item_lines: Vec::new() }, file, objects, mistakes);
            }
        }
        value => match mistakes_of(&value).as_slice() {
            [] => objects.push(ManifestObject { value, origin }),
            found => mistakes.push(format!("{origin}: {}", found.join(", "))),
        },
    }
}

/// What keeps a value from being an object that can be sent.
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

fn repeated(objects: &[ManifestObject]) -> Vec<String> {
    let mut first = std::collections::HashMap::new();
    let mut mistakes = Vec::new();
    for object in objects {
        let identity = (object.group(), object.kind(), object.namespace().unwrap_or("default"), object.name());
        if let Some(earlier) = first.get(&identity) {
            mistakes.push(format!("{}: {object} is also written at {earlier}", object.origin()));
        } else {
            first.insert(identity, object.origin());
        }
    }
    mistakes
}

#[cfg(test)]
mod tests;
