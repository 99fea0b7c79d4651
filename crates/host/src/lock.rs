//! Advisory locks (flock(2)), which the kernel releases when the process ends.
//!
//! A lock on a file that was removed or replaced during the wait excludes nobody. So after each lock the file is
//! compared with the one that has the path now, and the new one is tried if they differ. The content of a lock file
//! only names the holder for the user.

use std::cell::Cell;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use model::{Error, ErrorClass, EventSink, Result};

use crate::io_error::at_path;
use crate::wait::{Look, Outcome, Wait};

/// The pause between two attempts.
const INTERVAL: Duration = Duration::from_millis(100);

/// A held lock; released when dropped or when the process dies.
#[derive(Debug)]
pub struct FileLock {
    /// `None` only in [`FileLock::into_file`].
    file: Option<File>,
    /// Whether the file names this process as the holder.
    is_noted: bool,
}

/// What an attempt to take the lock of an existing file gave.
#[derive(Debug)]
pub enum Attempt {
    /// The lock.
    Locked(FileLock),
    /// Another process holds it.
    InUse,
    /// There is no such file.
    Missing,
}

/// Who else may hold a lock at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Nobody: an exclusive lock.
    Alone,
    /// Others that share it: a shared lock.
    Shared,
}

impl FileLock {
    /// Takes the exclusive lock at `path`, waiting up to `deadline`; `what` names it for the user ("instance k3s-vm").
    /// Creates the file with mode 0600 and its directory with 0700 if needed. A note names the holder once, from the
    /// second attempt on, because the VM's supervisor takes the lock for only milliseconds.
    ///
    /// # Errors
    /// A [`model::ErrorClass::State`] error that names the holder if the lock is not free by the deadline; Interrupted;
    /// or an error that names the path.
    pub fn acquire(path: &Path, what: &str, deadline: Duration, events: &dyn EventSink) -> Result<Self> {
        loop {
            let request = Request { path, what, deadline, events };
            if let Some(file) = request.take(|| open(path).map(Some), Sharing::Alone)? {
                return Self::noted(file, path);
            }
        }
    }

    /// Takes the lock at `path` as [`FileLock::acquire`] does if it is free; `None` if another process or another handle
    /// of this one holds it. Does not wait.
    ///
    /// # Errors
    /// Interrupted, or an error that names the path.
    pub fn try_acquire(path: &Path) -> Result<Option<Self>> {
        crate::interrupt::check()?;
        match try_once(path, &|| open(path).map(Some), Sharing::Alone)? {
            Tried::Locked(file) => Self::noted(file, path).map(Some),
            Tried::InUse | Tried::Missing => Ok(None),
        }
    }

    /// The lock of a locked file, into which this process writes its name.
    fn noted(mut file: File, path: &Path) -> Result<Self> {
        match write_holder(&mut file) {
            // The lock is held without the note, too, and `stop` must work on a full disk.
            Err(error) if !matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => {
                Err(at_path("write", path, &error))
            }
            _ => Ok(FileLock { file: Some(file), is_noted: true }),
        }
    }

    /// Takes the lock of an existing file or directory. Returns `None` if there is none, or none any more after the
    /// wait. The holder is written only into a file that is locked exclusively.
    ///
    /// # Errors
    /// As [`FileLock::acquire`].
    pub fn acquire_existing(
        path: &Path,
        sharing: Sharing,
        what: &str,
        deadline: Duration,
        events: &dyn EventSink,
    ) -> Result<Option<Self>> {
        let file = Request { path, what, deadline, events }.take(|| open_existing(path, sharing), sharing)?;
        Ok(file.map(|file| Self::of_existing(file, sharing)))
    }

    /// Takes the lock of an existing file or directory if it is free. Does not wait.
    ///
    /// # Errors
    /// Interrupted, or an error that names the path.
    pub fn try_acquire_existing(path: &Path, sharing: Sharing) -> Result<Attempt> {
        crate::interrupt::check()?;
        Ok(match try_once(path, &|| open_existing(path, sharing), sharing)? {
            Tried::Locked(file) => Attempt::Locked(Self::of_existing(file, sharing)),
            Tried::InUse => Attempt::InUse,
            Tried::Missing => Attempt::Missing,
        })
    }

    fn of_existing(mut file: File, sharing: Sharing) -> Self {
        let is_file = file.metadata().is_ok_and(|metadata| metadata.is_file());
        let is_noted = sharing == Sharing::Alone && is_file && write_holder(&mut file).is_ok();
        FileLock { file: Some(file), is_noted }
    }

    /// The open file, to be inherited by another process. The lock is held until its last descriptor is closed.
    pub fn into_file(mut self) -> Option<File> {
        self.file.take()
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        let Some(file) = &self.file else { return };
        if self.is_noted {
            let _ = file.set_len(0);
        }
        // Closing the descriptor may not release the lock at once: a process that another thread has just forked holds
        // a copy of it until execve(2).
        let _ = file.unlock();
    }
}

/// What one attempt to lock a file gave.
enum Tried {
    Locked(File),
    InUse,
    Missing,
}

fn try_once(path: &Path, open: &impl Fn() -> Result<Option<File>>, sharing: Sharing) -> Result<Tried> {
    loop {
        // The path may lead to another file by now.
        let Some(file) = open()? else { return Ok(Tried::Missing) };
        let tried = match sharing {
            Sharing::Alone => file.try_lock(),
            Sharing::Shared => file.try_lock_shared(),
        };
        match tried {
            Ok(()) if has_name(&file, path)? => return Ok(Tried::Locked(file)),
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(Tried::InUse),
            Err(TryLockError::Error(error)) => return Err(at_path("lock", path, &error)),
        }
    }
}

fn open_existing(path: &Path, sharing: Sharing) -> Result<Option<File>> {
    // A directory cannot be opened for writing, and a file need not be writable to be locked.
    let writable = OpenOptions::new().read(true).write(sharing == Sharing::Alone).open(path);
    match writable.or_else(|_| File::open(path)) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(at_path("open the lock", path, &error)),
    }
}

/// A request for a lock.
struct Request<'a> {
    path: &'a Path,
    what: &'a str,
    deadline: Duration,
    events: &'a dyn EventSink,
}

impl Request<'_> {
    /// The locked file, which still has its path; `None` if `open` returns `None`.
    fn take(&self, open: impl Fn() -> Result<Option<File>>, sharing: Sharing) -> Result<Option<File>> {
        let attempts = Cell::new(0_u32);
        let wait = Wait { what: &format!("the lock of {}", self.what), deadline: self.deadline, interval: INTERVAL };
        let outcome = wait.outcome(|_| {
            Ok(match try_once(self.path, &open, sharing)? {
                Tried::Locked(file) => Look::Ready(Some(file)),
                Tried::Missing => Look::Ready(None),
                Tried::InUse => Look::NotYet(self.note_holder(&attempts)),
            })
        });
        match outcome? {
            Outcome::Ready(file) => Ok(file),
            Outcome::TimedOut(_) => Err(in_use(self.path, self.what, self.deadline)),
        }
    }

    /// Returns who holds the lock, and emits a note about it at the second attempt.
    fn note_holder(&self, attempts: &Cell<u32>) -> String {
        let holder = holder(self.path);
        attempts.set(attempts.get().saturating_add(1));
        if attempts.get() == 2 {
            self.events.note(format!("waiting for {}, which is in use by {holder}", self.what));
        }
        format!("in use by {holder}")
    }
}

/// Whether the open file is still the one at `path`.
fn has_name(file: &File, path: &Path) -> Result<bool> {
    let failed = |error| at_path("check the lock", path, &error);
    let open = file.metadata().map_err(failed)?;
    match path.metadata() {
        Ok(named) => Ok((named.dev(), named.ino()) == (open.dev(), open.ino())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed(error)),
    }
}

fn open(path: &Path) -> Result<File> {
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty() && !directory.exists())
    {
        crate::files::create_private_dir(directory)?;
    }
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|error| at_path("open the lock", path, &error))
}

fn in_use(path: &Path, what: &str, deadline: Duration) -> Error {
    let error = Error::new(ErrorClass::State, format!("{what} is in use by {}", holder(path)));
    let error = if deadline.is_zero() {
        error
    } else {
        error.because(format!("it was not released within {}", humantime::format_duration(deadline)))
    };
    error.next("wait until that command has ended, then run this one again")
}

/// The holder that the file names ("process 4711 (k3s-vm start)").
fn holder(path: &Path) -> String {
    let mut text = String::new();
    // A lock file has one line, so a longer file is not one of ours.
    let read = File::open(path).and_then(|file| file.take(1024).read_to_string(&mut text));
    match (read, text.trim_end().split_once(' ')) {
        (Ok(_), Some((pid, command))) => format!("process {pid} ({command})"),
        _ => "another process".to_owned(),
    }
}

fn write_holder(file: &mut File) -> std::io::Result<()> {
    let words: Vec<String> = std::env::args_os()
        .enumerate()
        .map(|(index, word)| {
            let word = if index == 0 { Path::new(&word).file_name().map(Into::into).unwrap_or(word) } else { word };
            crate::quoting::quote(&word)
        })
        .collect();
    let command: String = words.join(" ").chars().filter(|letter| !letter.is_control()).take(200).collect();
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(format!("{} {command}\n", std::process::id()).as_bytes())
}

#[cfg(test)]
mod tests;
