//! A partial file beside its final path, and a note with the server's validator for resuming it.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use model::Result;
use serde::{Deserialize, Serialize};

use crate::files::{self, Mode};
use crate::io_error::at_path;

/// A partial file and its note.
pub(super) struct Partial {
    path: PathBuf,
    note: PathBuf,
}

/// What a request needs to resume a partial file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resume {
    /// Bytes of the partial file.
    pub(super) length: u64,
    /// The validator by which the server checks that its file is unchanged: an entity tag or a date (RFC 9110,
    /// If-Range).
    pub(super) validator: String,
}

#[derive(Serialize, Deserialize)]
struct Note {
    url: String,
    validator: String,
}

impl Partial {
    /// The partial file for the final path `complete`.
    pub(super) fn of(complete: &Path) -> Self {
        Partial { path: complete.with_added_extension("partial"), note: complete.with_added_extension("partial.json") }
    }

    /// The path of the partial file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The length in bytes; 0 if there is none.
    pub(super) fn length(&self) -> u64 {
        std::fs::metadata(&self.path).map_or(0, |metadata| metadata.len())
    }

    /// How to resume `url`; `None` if it has to begin anew.
    pub(super) fn resumable(&self, url: &str) -> Result<Option<Resume>> {
        let note: Option<Note> =
            files::read_optional(&self.note)?.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let length = self.length();
        Ok(note
            .filter(|note| note.url == super::address::shown(url) && length > 0)
            .map(|note| Resume { length, validator: note.validator }))
    }

    /// Writes the note for `url`. Without a validator the partial file cannot be resumed.
    pub(super) fn write_note(&self, url: &str, validator: Option<String>) -> Result<()> {
        let Some(validator) = validator else { return files::remove(&self.note) };
        let note = Note { url: super::address::shown(url), validator };
        let text = serde_json::to_vec(&note).unwrap_or_default();
        files::write_atomic(&self.note, &text, Mode::Exactly(0o644))
    }

    /// Opens the partial file and truncates it to its first `keep` bytes.
    pub(super) fn open(&self, keep: u64) -> Result<File> {
        let open = || {
            let mut options = OpenOptions::new();
            let file = options.read(true).write(true).create(true).truncate(keep == 0).open(&self.path)?;
            file.set_len(keep)?;
            Ok(file)
        };
        open().map_err(|error| at_path("write", &self.path, &error))
    }

    /// Removes the partial file and its note.
    pub(super) fn discard(&self) -> Result<()> {
        files::remove(&self.path)?;
        files::remove(&self.note)
    }

    /// Renames the partial file to its final path.
    pub(super) fn complete(&self, name: &Path) -> Result<()> {
        files::rename(&self.path, name)?;
        files::remove(&self.note)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_part_of_the_same_url_with_a_validator_is_resumed() {
        let directory = tempfile::tempdir().unwrap();
        let name = directory.path().join("k3s");
        let partial = Partial::of(&name);
        assert_eq!(partial.resumable("http://u:p@a/k3s").unwrap(), None);
        partial.write_note("http://u:p@a/k3s", Some("\"tag\"".to_owned())).unwrap();
        assert_eq!(partial.resumable("http://u:p@a/k3s").unwrap(), None, "nothing has arrived");
        std::fs::write(partial.path(), "12345").unwrap();
        let resume = Resume { length: 5, validator: "\"tag\"".to_owned() };
        assert_eq!(partial.resumable("http://u:p@a/k3s").unwrap(), Some(resume));
        assert_eq!(partial.resumable("http://b/k3s").unwrap(), None);
        let text = std::fs::read_to_string(directory.path().join("k3s.partial.json")).unwrap();
        assert!(!text.contains("u:p"), "a password was written: {text}");
        partial.write_note("http://a/k3s", None).unwrap();
        assert_eq!(partial.resumable("http://a/k3s").unwrap(), None);
        drop(partial.open(3).unwrap());
        assert_eq!(partial.length(), 3);
        partial.complete(&name).unwrap();
        assert_eq!(std::fs::read(&name).unwrap(), b"123");
    }
}
