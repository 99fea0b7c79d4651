//! Advisory locks (flock(2)) that die with the process.
//!
//! A lock counts only as long as its file has its name: whoever gets the lock of a file that was removed, or replaced,
//! while they waited holds nothing that anybody else would meet, and takes that of the name's new file. What a file says
//! only names the holder for the user; the lock itself is the kernel's.

use std::cell::Cell;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use model::{Error, ErrorClass, EventSink, Result};

use crate::io_error::at_path;
use crate::wait::{Look, Wait};

/// How often a held lock is tried again.
const INTERVAL: Duration = Duration::from_millis(100);

/// A held lock; released when dropped or when the process dies.
#[derive(Debug)]
pub struct FileLock {
    /// Nothing only while it is given away.
    file: Option<File>,
    /// Whether the holder's name is in the file.
    is_noted: bool,
}

/// With whom a lock is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// With nobody.
    Alone,
    /// With all who share it, too.
    Shared,
}

/// What became of an attempt to take the lock of an existing file without waiting.
#[derive(Debug)]
pub enum Attempt {
    /// The lock.
    Locked(FileLock),
    /// Another process holds it.
    InUse,
    /// There is no such file.
    Missing,
}

impl FileLock {
    /// Takes the lock at `path` (made if needed, 0600; its directory 0700), waiting up to `deadline`; `what` names it for
    /// the user ("instance k3s-vm"). A note says once who holds it while it waits (pid and command, written into the
    /// file), unless it is free again at the second look: the VM's supervisor takes it for milliseconds. On the deadline a [`model::ErrorClass::State`] error names the holder.
    ///
    /// # Errors
    /// That State error, Interrupted, or an error that names the path.
    pub fn acquire(path: &Path, what: &str, deadline: Duration, events: &dyn EventSink) -> Result<Self> {
        loop {
            let request = Request { path, what, deadline, events };
            if let Some(file) = request.take(|| open(path).map(Some), Sharing::Alone)? {
                return Self::of_new(file, path);
            }
        }
    }

    /// The same for a file or a directory that is there; nothing where there is none, or none any more after the wait. The
    /// holder's name is written only into a file that is not shared.
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

    /// As [`FileLock::acquire`], without waiting. `None` when it is in use.
    ///
    /// # Errors
    /// Interrupted, or an error that names the path.
    pub fn try_acquire(path: &Path) -> Result<Option<Self>> {
        crate::interrupt::check()?;
        match try_once(path, &|| open(path).map(Some), Sharing::Alone)? {
            Tried::Locked(file) => Self::of_new(file, path).map(Some),
            Tried::InUse | Tried::Missing => Ok(None),
        }
    }

    /// As [`FileLock::acquire_existing`], without waiting.
    ///
    /// # Errors
    /// As [`FileLock::try_acquire`].
    pub fn try_acquire_existing(path: &Path, sharing: Sharing) -> Result<Attempt> {
        crate::interrupt::check()?;
        Ok(match try_once(path, &|| open_existing(path, sharing), sharing)? {
            Tried::Locked(file) => Attempt::Locked(Self::of_existing(file, sharing)),
            Tried::InUse => Attempt::InUse,
            Tried::Missing => Attempt::Missing,
        })
    }

    fn of_new(mut file: File, path: &Path) -> Result<Self> {
        match write_holder(&mut file) {
            // The lock is held all the same, and `stop` must work on a full disk.
            Err(error) if !matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => {
                Err(at_path("write", path, &error))
            }
            _ => Ok(FileLock { file: Some(file), is_noted: true }),
        }
    }

    fn of_existing(mut file: File, sharing: Sharing) -> Self {
        let is_file = file.metadata().is_ok_and(|metadata| metadata.is_file());
        let is_noted = sharing == Sharing::Alone && is_file && write_holder(&mut file).is_ok();
        FileLock { file: Some(file), is_noted }
    }

    /// The descriptor, to be shared with another process: the lock is held until the last one is closed.
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
        // Closing the descriptor would not do at once: a program that another thread starts this moment holds a copy
        // of it until execve(2).
        let _ = file.unlock();
    }
}

/// A lock that is wanted.
struct Request<'a> {
    path: &'a Path,
    what: &'a str,
    deadline: Duration,
    events: &'a dyn EventSink,
}

impl Request<'_> {
    /// The locked file, which has its name; nothing where `open` gives none.
    fn take(&self, open: impl Fn() -> Result<Option<File>>, sharing: Sharing) -> Result<Option<File>> {
        let looks = Cell::new(0_u32);
        let wait = Wait { what: &format!("the lock of {}", self.what), deadline: self.deadline, interval: INTERVAL };
        let locked = wait.until(|_| {
            Ok(match try_once(self.path, &open, sharing)? {
                Tried::Locked(file) => Look::Ready(Some(file)),
                Tried::Missing => Look::Ready(None),
                Tried::InUse => Look::NotYet(self.tell(&looks)),
            })
        });
        match locked {
            Err(error) if error.class() == ErrorClass::Timeout => Err(in_use(self.path, self.what, self.deadline)),
            result => result,
        }
    }

    /// Says once who holds it, at the second look.
    fn tell(&self, looks: &Cell<u32>) -> String {
        let holder = holder(self.path);
        looks.set(looks.get().saturating_add(1));
        if looks.get() == 2 {
            self.events.note(format!("waiting for {}, which is in use by {holder}", self.what));
        }
        format!("in use by {holder}")
    }
}

/// What became of one look.
enum Tried {
    Locked(File),
    InUse,
    Missing,
}

fn try_once(path: &Path, open: &impl Fn() -> Result<Option<File>>, sharing: Sharing) -> Result<Tried> {
    loop {
        // Opened again each time: the file may be another one by now.
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

/// Whether the open file is still the one that has the name.
fn has_name(file: &File, path: &Path) -> Result<bool> {
    let failed = |error| at_path("look at the lock", path, &error);
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

fn open_existing(path: &Path, sharing: Sharing) -> Result<Option<File>> {
    // A directory, or a file of which only the lock is wanted, need not be writable.
    let writable = OpenOptions::new().read(true).write(sharing == Sharing::Alone).open(path);
    match writable.or_else(|_| File::open(path)) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(at_path("open the lock", path, &error)),
    }
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

/// Who wrote itself into the file ("process 4711 (k3s-vm start)").
fn holder(path: &Path) -> String {
    let mut text = String::new();
    // A lock file is one line; more than that is not ours to show.
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
            crate::command::quote(&word)
        })
        .collect();
    let command: String = words.join(" ").chars().filter(|letter| !letter.is_control()).take(200).collect();
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(format!("{} {command}\n", std::process::id()).as_bytes())
}

#[cfg(test)]
mod tests;
