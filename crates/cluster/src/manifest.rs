//! Manifests: YAML and JSON documents to objects, read as kubectl reads them, and the order in which they are applied.
//!
//! Pure: text in, objects out.

#![allow(unused_variables, dead_code, clippy::unimplemented)]

use std::fmt;

use model::Result;
use serde_json::Value;

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
    /// A Config fault where `apiVersion`, `kind` or `metadata.name` is missing.
    pub fn new(value: Value, origin: Origin) -> Result<Self> {
        unimplemented!()
    }

    /// `v1`, `apps/v1`.
    pub fn api_version(&self) -> &str {
        unimplemented!()
    }
    /// `Deployment`.
    pub fn kind(&self) -> &str {
        unimplemented!()
    }
    /// `metadata.name`.
    pub fn name(&self) -> &str {
        unimplemented!()
    }
    /// `metadata.namespace`, where it is written.
    pub fn namespace(&self) -> Option<&str> {
        unimplemented!()
    }
    /// Where it was written.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }
    /// The whole object.
    pub fn value(&self) -> &Value {
        &self.value
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
/// One Config fault with every mistake of every file as its reasons, each with `file:line:column`.
pub fn parse(files: &[ManifestText]) -> Result<Vec<ManifestObject>> {
    unimplemented!()
}

/// The wave in which an object is applied; a wave begins when the one before it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Wave {
    /// Namespaces and CustomResourceDefinitions.
    Scopes,
    /// What workloads refer to: accounts, secrets, volumes, RBAC, Services.
    References,
    /// Pods and what makes them.
    Workloads,
    /// Everything else, custom resources among it.
    Rest,
    /// Webhook configurations and APIServices, which can stop all later requests.
    Interceptors,
}

/// The wave of an object.
pub fn wave(object: &ManifestObject) -> Wave {
    unimplemented!()
}

/// Sorts by wave; within a wave the order of the files stays.
pub fn sort_for_apply(objects: &mut [ManifestObject]) {
    unimplemented!()
}
