//! Names of container images, written out in full as the kubelet looks them up.

#![allow(unused_variables, dead_code, clippy::unimplemented)]

use std::fmt;

use model::Result;

/// A full name: `docker.io/library/nginx:latest`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageName(String);

impl ImageName {
    /// Reads a name as people and manifests write it: `nginx`, `local/web:dev`, `ghcr.io/a/b@sha256:…`.
    ///
    /// # Errors
    /// A Config fault that says which rule the name breaks.
    pub fn parse(text: &str) -> Result<Self> {
        unimplemented!()
    }

    /// The full name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
