//! Fetches one file: resumes it, and checks its size, its digest and the disk space.

use std::io::{Seek, SeekFrom, Write};
use std::time::SystemTime;

use model::{Error, ErrorClass, Event};

use super::answer::Answer;
use super::client::Client;
use super::failure::{Failure, Reason};
use super::partial::Partial;
use super::progress::Progress;
use super::target::Download;
use crate::digest::{Running, Sha256};
use crate::io_error::at_path;
use crate::lock::FileLock;
use crate::quoting::quote;

/// How often a download is resumed after its connection broke, if something arrived each time.
const MOST_RESUMPTIONS: u32 = 8;
/// Bytes of disk space that a download leaves free.
const RESERVE: u64 = 256 << 20;

impl Client {
    /// Fetches the file, unless it exists with the right digest. After a failure the partial file stays, and the next
    /// call resumes it if the server still has the same file.
    ///
    /// # Errors
    /// A failure of the network or the disk, or a wrong digest.
    pub fn fetch(&self, download: &Download) -> Result<(), Failure> {
        let _lock = FileLock::acquire(download.lock, download.what, download.lock_deadline, download.events)?;
        if download.to.is_file() {
            if Sha256::of_file(download.to)? == download.sha256 {
                // `prune` removes downloads by age. The time of another user's file cannot be set.
                let _ = std::fs::File::open(download.to).and_then(|file| file.set_modified(SystemTime::now()));
                return Ok(());
            }
            download.events.warning(format!("{} is damaged and is fetched again", download.to.display()));
            crate::files::remove(download.to)?;
        }
        if let Some(directory) = download.to.parent() {
            crate::files::create_dir(directory)?;
        }
        let result = self.fetch_in_steps(download);
        download.events.emit(Event::TaskFinished { task: download.task.to_owned() });
        result
    }

    fn fetch_in_steps(&self, download: &Download) -> Result<(), Failure> {
        let mut resumptions = 0;
        let mut may_resume = true;
        loop {
            let partial = Partial::of(download.to);
            let before = partial.length();
            match self.step(download, &partial, may_resume) {
                Ok(Step::Complete) => return Ok(()),
                Ok(Step::Anew) => may_resume = false,
                Err(failure)
                    if failure.reason() == Reason::Broken
                        && partial.length() > before
                        && resumptions < MOST_RESUMPTIONS =>
                {
                    resumptions += 1;
                    download.events.debug(format!("resuming {}: {}", download.what, failure.error()));
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    /// Makes one request, which resumes the last one or begins anew.
    fn step(&self, download: &Download, partial: &Partial, may_resume: bool) -> Result<Step, Failure> {
        let resume = if may_resume { partial.resumable(download.url)? } else { None };
        let mut answer = self.get(download.url, resume.as_ref())?;
        let begin = match (answer.status(), &resume) {
            (206, Some(resume)) if answer.content_range_start() == Some(resume.length) => resume.length,
            (206 | 416, Some(_)) => return Ok(Step::Anew),
            (200, _) => 0,
            (status, _) => return Err(Failure::status(download.url, status)),
        };
        let Some(most) = download.most.checked_sub(begin) else {
            partial.discard()?;
            return Ok(Step::Anew);
        };
        let left = answer.content_length();
        if left.is_some_and(|left| left > most) {
            return Err(Failure::too_large(download));
        }
        let room = check_space(download, partial, left)?;
        let mut file = partial.open(begin)?;
        let mut digest = Running::default();
        if begin > 0 {
            download.events.debug(format!("{}: resuming after {begin} bytes", download.what));
            file.seek(SeekFrom::Start(0))
                .and_then(|_| digest.add_all(&mut file))
                .map_err(|error| at_path("read", partial.path(), &error))?;
        } else {
            partial.write_note(download.url, answer.validator())?;
        }
        let mut progress = Progress::new(download, begin, left.map(|left| begin + left));
        let mut arrived: u64 = 0;
        while let Some(bytes) = next_piece(download, &mut answer)? {
            arrived = arrived.saturating_add(bytes.len() as u64);
            // A response may lack its length or have a wrong one.
            if arrived > most {
                partial.discard()?;
                return Err(Failure::too_large(download));
            }
            if arrived > room {
                partial.discard()?;
                return Err(no_space(download, partial, room, "more").into());
            }
            file.write_all(&bytes).map_err(|error| at_path("write", partial.path(), &error))?;
            digest.add(&bytes);
            progress.add(bytes.len() as u64);
        }
        file.sync_all().map_err(|error| at_path("write", partial.path(), &error))?;
        let found = digest.finish();
        if found == download.sha256 {
            partial.complete(download.to)?;
            return Ok(Step::Complete);
        }
        partial.discard()?;
        // The parts may come from different files, so a whole download decides.
        if begin > 0 { Ok(Step::Anew) } else { Err(Failure::digest(download, found)) }
    }
}

/// How one request ended.
enum Step {
    Complete,
    /// The partial file cannot be resumed.
    Anew,
}

fn next_piece(download: &Download, answer: &mut Answer) -> Result<Option<Vec<u8>>, Failure> {
    answer.piece().map_err(|failure| failure.of(download.url))
}

/// Returns the bytes that the download may write.
///
/// # Errors
/// If it needs more than that.
fn check_space(download: &Download, partial: &Partial, needed: Option<u64>) -> Result<u64, Failure> {
    let room = crate::files::free_space(partial.path())?.saturating_sub(RESERVE);
    match needed {
        Some(needed) if needed > room => {
            Err(no_space(download, partial, room, &bytesize::ByteSize(needed).to_string()).into())
        }
        _ => Ok(room),
    }
}

fn no_space(download: &Download, partial: &Partial, room: u64, needed: &str) -> Error {
    let directory = partial.path().parent().unwrap_or(partial.path());
    let quoted = quote(directory.as_os_str());
    let what = format!("there is too little space for {} in {}", download.what, directory.display());
    Error::new(ErrorClass::Host, what)
        .because(format!("{} may be used, it needs {needed}", bytesize::ByteSize(room)))
        .next(format!("free some space, then run the command again; `df -h {quoted}` shows how much there is"))
}
