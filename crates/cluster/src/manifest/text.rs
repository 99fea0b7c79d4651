//! The text of manifests, YAML and JSON, to objects, as kubectl reads it.
//!
//! Pure.

use model::{Error, ErrorClass, Result};
use serde_json::Value;

use super::documents::{Document, documents};
use super::object::{ManifestObject, Origin};

/// A file with manifests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestText {
    /// The file as messages show it.
    pub file: String,
    /// The content.
    pub text: String,
}

/// Reads all documents of all files, in their order. `kind: List` is replaced by its items, empty documents are
/// skipped.
///
/// # Errors
/// One Config error with every mistake of every file as its reasons, each with its file and line; syntax errors with
/// the column too. An object that is written twice is a mistake: only one of the two can be meant.
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

/// Whether the files state that no object is wanted: their only documents are Lists without items. Files that are empty
/// may have lost their content.
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

fn take(document: Document, file: &str, objects: &mut Vec<ManifestObject>, mistakes: &mut Vec<String>) {
    if document.value.is_null() {
        return;
    }
    let origin = Origin { file: file.to_owned(), line: document.line };
    // Every list type that kubectl flattens is named so: List, ConfigMapList, …
    let is_list = document.value["kind"].as_str().is_some_and(|kind| kind.ends_with("List"));
    match document.value {
        Value::Object(mut list) if is_list && list.get("items").is_some_and(Value::is_array) => {
            let Some(Value::Array(items)) = list.remove("items") else { return };
            for (index, item) in items.into_iter().enumerate() {
                let line = document.item_lines.get(index).copied().unwrap_or(document.line);
                take(Document { value: item, line, item_lines: Vec::new() }, file, objects, mistakes);
            }
        }
        value => match ManifestObject::checked(value, origin.clone()) {
            Ok(object) => objects.push(object),
            Err(found) => mistakes.push(format!("{origin}: {}", found.join(", "))),
        },
    }
}

/// A mistake for each object that is written more than once.
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
