//! One file to fetch.

use std::path::Path;
use std::time::Duration;

use model::EventSink;

use crate::digest::Sha256;

/// One file to fetch.
#[derive(Clone, Copy)]
pub struct Download<'a> {
    /// The URL.
    pub url: &'a str,
    /// The final path. The partial file is beside it.
    pub to: &'a Path,
    /// The expected digest.
    pub sha256: Sha256,
    /// The most bytes that it may have: a server that sends more is broken or hostile.
    pub most: u64,
    /// The lock that prevents two processes from fetching it at once.
    pub lock: &'a Path,
    /// How long to wait for another process that fetches the same file.
    pub lock_deadline: Duration,
    /// The task in events.
    pub task: &'a str,
    /// Its name in messages ("k3s v1.33.5+k3s1").
    pub what: &'a str,
    /// Receives progress, warnings and debug lines.
    pub events: &'a dyn EventSink,
}
