//! `prune`: gives back the space of what nothing can use any more. What the user has asked for, and what may still be of
//! use, stays: instances, snapshots, images that have users or whose users are not known.

mod cache;
mod project;

use std::path::{Path, PathBuf};

use host::files;
use model::{EventSink, Result};
use serde::Serialize;

use crate::context::Context;
use crate::steps::{Outcome, Steps};

/// What kind of thing was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A saved VM of the project that `reset` cannot use.
    Template,
    /// A saved VM whose maker was killed.
    Unfinished,
    /// RAM of an instance whose disk is gone.
    SuspendedRam,
    /// Disks of which nothing is made.
    BackingFiles,
    /// A guest image of the shared cache.
    GuestImage,
    /// A fetched file of the shared cache.
    Download,
}

/// Something that was removed, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Removal {
    /// What it is.
    pub kind: Kind,
    /// Where it was.
    pub path: PathBuf,
    /// Why it is of no use.
    pub why: String,
    /// Bytes on the disk.
    pub bytes: u64,
}

/// What `prune` did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PruneReport {
    /// Whether nothing was removed.
    pub dry_run: bool,
    /// What was removed, or would be.
    pub removed: Vec<Removal>,
    /// Guest images that nobody is known to use, and why they stay.
    pub kept: Vec<Kept>,
    /// Bytes in all.
    pub bytes: u64,
}

/// A guest image that stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// Its directory.
    pub path: PathBuf,
    /// Why.
    pub why: String,
    /// Bytes on the disk.
    pub bytes: u64,
}

/// Removes what is of no use, or only looks.
///
/// # Errors
/// Errors of reading and removing.
pub fn run(context: &Context<'_>, dry_run: bool) -> Result<PruneReport> {
    let mut work = Work { dry_run, removed: Vec::new(), kept: Vec::new(), events: context.events };
    let mut steps = Steps::new(context.events, 2);
    steps.run("Looking through the project", || {
        project::prune(context, &mut work)?;
        Ok(Outcome::Done((), work.fact(0)))
    })?;
    let before = work.removed.len();
    steps.run("Looking through the cache", || {
        cache::prune(context, &mut work)?;
        Ok(Outcome::Done((), work.fact(before)))
    })?;
    let bytes = work.removed.iter().map(|removal| removal.bytes).sum();
    Ok(PruneReport { dry_run, removed: work.removed, kept: work.kept, bytes })
}

/// What has been found so far.
struct Work<'a> {
    dry_run: bool,
    removed: Vec<Removal>,
    kept: Vec<Kept>,
    events: &'a dyn EventSink,
}

impl Work<'_> {
    /// Removes a file or directory, unless it is only looked.
    fn remove(&mut self, kind: Kind, path: &Path, why: impl Into<String>) -> Result<()> {
        let bytes = usage(path);
        if !self.dry_run {
            files::remove(path)?;
        }
        self.found(kind, path, why, bytes);
        Ok(())
    }

    fn found(&mut self, kind: Kind, path: &Path, why: impl Into<String>, bytes: u64) {
        self.removed.push(Removal { kind, path: path.to_owned(), why: why.into(), bytes });
    }

    fn fact(&self, from: usize) -> String {
        let found = &self.removed[from..];
        let bytes = bytesize::ByteSize(found.iter().map(|removal| removal.bytes).sum());
        match (found.len(), self.dry_run) {
            (0, _) => "nothing is of no use".to_owned(),
            (_, true) => format!("{bytes} could be given back"),
            (_, false) => format!("{bytes} are free again"),
        }
    }
}

/// The bytes that a file, or a directory with all in it, takes on the disk.
fn usage(path: &Path) -> u64 {
    let Ok(metadata) = path.symlink_metadata() else { return 0 };
    let below: u64 = match std::fs::read_dir(path) {
        Ok(entries) if metadata.is_dir() => entries.flatten().map(|entry| usage(&entry.path())).sum(),
        _ => 0,
    };
    below + files::on_disk(&metadata)
}
