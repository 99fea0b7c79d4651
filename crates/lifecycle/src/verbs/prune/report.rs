//! What a prune finds and reports.

use std::path::{Path, PathBuf};

use host::files;
use model::Result;
use serde::Serialize;

/// The kind of what was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A template of the project that `reset` cannot use.
    Template,
    /// A saved VM that is incomplete: the command that made it was killed.
    Unfinished,
    /// The suspended RAM of an instance whose disk is gone.
    SuspendedRam,
    /// Backing files that no disk needs.
    BackingFiles,
    /// A guest image of the shared cache.
    GuestImage,
    /// A downloaded file of the shared cache.
    Download,
}

/// Something that was removed, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Removal {
    /// What it is.
    pub kind: Kind,
    /// Where it was.
    pub path: PathBuf,
    /// Why nothing can use it.
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
    /// Guest images without known users that stay, with the reason.
    pub kept: Vec<Kept>,
    /// Bytes of all that was removed, or would be.
    pub bytes: u64,
}

/// A guest image that stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// Its directory.
    pub path: PathBuf,
    /// Why it stays.
    pub why: String,
    /// Bytes on the disk.
    pub bytes: u64,
}

/// What a prune has found so far.
#[derive(Default)]
pub(super) struct Work {
    pub(super) dry_run: bool,
    pub(super) removed: Vec<Removal>,
    pub(super) kept: Vec<Kept>,
}

impl Work {
    /// Removes a file or directory, unless it is a dry run, and adds it to what was found.
    pub(super) fn remove(&mut self, kind: Kind, path: &Path, why: impl Into<String>) -> Result<()> {
        let bytes = usage(path);
        if !self.dry_run {
            files::remove(path)?;
        }
        self.found(kind, path, why, bytes);
        Ok(())
    }

    /// Adds what was removed elsewhere.
    pub(super) fn found(&mut self, kind: Kind, path: &Path, why: impl Into<String>, bytes: u64) {
        self.removed.push(Removal { kind, path: path.to_owned(), why: why.into(), bytes });
    }

    /// What was found since the first `from`, in a few words.
    pub(super) fn fact(&self, from: usize) -> String {
        let found = &self.removed[from..];
        let bytes = bytesize::ByteSize(found.iter().map(|removal| removal.bytes).sum());
        match (found.len(), self.dry_run) {
            (0, _) => "there is nothing to remove".to_owned(),
            (_, true) => format!("{bytes} could be freed"),
            (_, false) => format!("{bytes} are free again"),
        }
    }
}

/// The bytes that a file, or a directory with all in it, takes on the disk.
pub(super) fn usage(path: &Path) -> u64 {
    let Ok(metadata) = path.symlink_metadata() else { return 0 };
    let below: u64 = match std::fs::read_dir(path) {
        Ok(entries) if metadata.is_dir() => entries.flatten().map(|entry| usage(&entry.path())).sum(),
        _ => 0,
    };
    below + files::on_disk(&metadata)
}
