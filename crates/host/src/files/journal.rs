//! Saves the former content of a file while it is written in place. If that run is killed, the next one restores it.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use model::{EventSink, Result};
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use super::atomic::{Mode, replace, write_atomic};
use super::names::{remove, sync_directory_of};
use super::reading::read_optional;

/// The name of the journal in the scratch directory.
const NAME: &str = "interrupted-write.json";

/// The content of the journal.
#[derive(Serialize, Deserialize)]
struct Entry {
    path: Vec<u8>,
    former: Vec<u8>,
    new: Vec<u8>,
}

/// The journal of a write in progress.
pub(super) struct Journal {
    file: PathBuf,
}

impl Journal {
    /// Saves the former content of `path`, and the new one.
    pub(super) fn begin(scratch: &Path, path: &Path, former: &[u8], new: &[u8]) -> io::Result<Self> {
        let path = path.as_os_str().as_bytes().to_vec();
        let text = serde_json::to_vec(&Entry { path, former: former.to_vec(), new: new.to_vec() })?;
        let file = scratch.join(NAME);
        replace(&file, &text, Mode::Exactly(0o600))?;
        // The journal must be on the disk before anything is overwritten. If the sync fails, nothing better is
        // possible.
        let _ = sync_directory_of(&file);
        Ok(Journal { file })
    }

    /// Removes the journal after the write.
    pub(super) fn end(self) -> io::Result<()> {
        fs::remove_file(self.file)
    }
}

/// Overwrites the file. New blocks are written first, so that a full disk is noticed before old content is overwritten.
pub(super) fn overwrite(file: &File, former_length: usize, bytes: &[u8]) -> io::Result<()> {
    let (head, tail) = bytes.split_at(former_length.min(bytes.len()));
    file.write_all_at(tail, head.len() as u64)?;
    file.write_all_at(head, 0)?;
    file.set_len(bytes.len() as u64)?;
    file.sync_all()
}

/// The content of a file after its write was cut off.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// The former content or the new one.
    Whole,
    /// A part of each.
    Mixed,
    /// Something else: it was changed since.
    Changed,
}

fn judge(present: &[u8], former: &[u8], new: &[u8]) -> Found {
    if present == former || present == new {
        return Found::Whole;
    }
    let (least, most) = (former.len().min(new.len()), former.len().max(new.len()));
    // Blocks that did not reach the disk before a power cut read as zeros.
    let fits = |(place, byte): (usize, &u8)| {
        former.get(place) == Some(byte) || new.get(place) == Some(byte) || (*byte == 0 && place >= former.len())
    };
    if (least..=most).contains(&present.len()) && present.iter().enumerate().all(fits) {
        Found::Mixed
    } else {
        Found::Changed
    }
}

/// Restores the content of a user's file if the run that wrote it was killed. The caller holds the lock of `scratch`.
///
/// # Errors
/// An error that names the path.
pub fn recover(scratch: &Path, events: &dyn EventSink) -> Result<()> {
    let journal = scratch.join(NAME);
    let Some(text) = read_optional(&journal)? else { return Ok(()) };
    if let Ok(entry) = serde_json::from_slice::<Entry>(&text) {
        let path = PathBuf::from(OsString::from_vec(entry.path));
        let failed = |error: &io::Error| crate::io_error::at_path("restore the former content of", &path, error);
        match open(&path).and_then(|mut file| read(&mut file).map(|present| (file, present))) {
            Ok((file, present)) => match judge(&present, &entry.former, &entry.new) {
                Found::Whole => {}
                Found::Mixed => {
                    overwrite(&file, present.len(), &entry.former).map_err(|error| failed(&error))?;
                    events.warning(format!(
                        "{} was half written when a run was killed; its former content was restored",
                        path.display()
                    ));
                }
                Found::Changed => set_aside(scratch, &path, &entry.former, events)?,
            },
            Err(_) => set_aside(scratch, &path, &entry.former, events)?,
        }
    }
    remove(&journal)
}

/// Writes the former content to a file of its own, for the user to look at.
fn set_aside(scratch: &Path, path: &Path, former: &[u8], events: &dyn EventSink) -> Result<()> {
    let aside = scratch.join("interrupted-write.former");
    write_atomic(&aside, former, Mode::Exactly(0o600))?;
    events.warning(format!(
        "{} was being written when a run was killed, and was changed since; its former content is in {}",
        path.display(),
        aside.display()
    ));
    Ok(())
}

fn open(path: &Path) -> io::Result<File> {
    let no_link = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = OpenOptions::new().read(true).write(true).custom_flags(no_link.bits().cast_signed()).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a regular file")) }
}

fn read(file: &mut File) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    file.read_to_end(&mut content)?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use model::Event;
    use proptest::prelude::*;

    use super::*;

    #[derive(Default)]
    struct Warnings(Mutex<Vec<String>>);

    impl EventSink for Warnings {
        fn emit(&self, event: Event) {
            if let Event::Warning { text } = event {
                self.0.lock().unwrap().push(text);
            }
        }
    }

    struct Cut {
        directory: tempfile::TempDir,
    }

    impl Cut {
        /// A write of `new` over `former` that was killed when the file had `present`.
        fn at(former: &[u8], new: &[u8], present: &[u8]) -> Self {
            let directory = tempfile::tempdir().unwrap();
            let file = directory.path().join(".env");
            fs::write(&file, present).unwrap();
            drop(Journal::begin(directory.path(), &file, former, new).unwrap());
            Cut { directory }
        }

        fn recovered(&self) -> (Vec<u8>, Vec<String>) {
            let events = Warnings::default();
            recover(self.directory.path(), &events).unwrap();
            assert!(!self.directory.path().join(NAME).exists());
            (fs::read(self.directory.path().join(".env")).unwrap(), events.0.into_inner().unwrap())
        }
    }

    #[test]
    fn a_file_that_was_written_half_when_the_run_was_killed_gets_its_former_content_back() {
        let (content, warnings) = Cut::at(b"A=1\nB=2\n", b"A=9\nB=2\nC=3\n", b"A=9\nB=2\n\0\0\0\0").recovered();
        assert_eq!(content, b"A=1\nB=2\n");
        assert!(warnings[0].ends_with("/.env was half written when a run was killed; its former content was restored"));
    }

    #[test]
    fn a_change_of_the_user_stays_and_the_former_content_is_set_aside() {
        let cut = Cut::at(b"A=1\n", b"A=9\n", b"mine");
        let (content, warnings) = cut.recovered();
        assert_eq!(content, b"mine");
        assert_eq!(fs::read(cut.directory.path().join("interrupted-write.former")).unwrap(), b"A=1\n");
        assert!(warnings[0].contains("was changed since; its former content is in "), "{warnings:?}");

        fs::remove_file(cut.directory.path().join(".env")).unwrap();
        drop(Journal::begin(cut.directory.path(), &cut.directory.path().join(".env"), b"A=2\n", b"").unwrap());
        recover(cut.directory.path(), &Warnings::default()).unwrap();
        assert_eq!(fs::read(cut.directory.path().join("interrupted-write.former")).unwrap(), b"A=2\n");
    }

    #[test]
    fn nothing_happens_without_an_interrupted_write() {
        let directory = tempfile::tempdir().unwrap();
        recover(directory.path(), &Warnings::default()).unwrap();
        for present in [&b"A=1\n"[..], b"A=9\n"] {
            assert_eq!(Cut::at(b"A=1\n", b"A=9\n", present).recovered(), (present.to_vec(), Vec::new()));
        }
    }

    proptest! {
        #[test]
        fn wherever_a_write_is_cut_off_the_file_has_one_of_both_contents_afterwards(
            former in prop::collection::vec(any::<u8>(), 0..40),
            new in prop::collection::vec(any::<u8>(), 0..40),
            cut in 0usize..120,
        ) {
            // The order of `overwrite`: what is appended, then what is overwritten, then the length.
            let split = former.len().min(new.len());
            let mut present = former.clone();
            let steps = (split..new.len()).chain(0..split);
            for place in steps.take(cut) {
                if place < present.len() { present[place] = new[place]; } else { present.push(new[place]); }
            }
            let (content, _) = Cut::at(&former, &new, &present).recovered();
            prop_assert!(content == former || content == new);
        }
    }
}
