//! One file to fetch.

use std::path::Path;

use model::EventSink;

use crate::digest::Sha256;

/// One file to fetch.
#[derive(Clone, Copy)]
pub struct Download<'a> {
    /// Where it is.
    pub url: &'a str,
    /// Its name when it is complete; what has arrived so far is beside it.
    pub to: &'a Path,
    /// What it must be.
    pub sha256: Sha256,
    /// How many bytes it has at most: a host that sends more is broken or means harm.
    pub most: u64,
    /// The lock that keeps two processes from fetching it at once.
    pub lock: &'a Path,
    /// The task that events name.
    pub task: &'a str,
    /// Its name for people ("k3s v1.33.5+k3s1").
    pub what: &'a str,
    /// Who is told.
    pub events: &'a dyn EventSink,
}
