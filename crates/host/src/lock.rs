//! Advisory locks (flock(2)) that die with the process; the file is never deleted.
//!
//! What the file says only names the holder for the user; the lock itself is the kernel's.

use std::cell::Cell;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use model::{EventSink, Fault, FaultClass, Result};

use crate::io_fault::at_path;
use crate::wait::{Look, Wait};

/// How often a held lock is tried again.
const INTERVAL: Duration = Duration::from_millis(100);

/// A held lock; released when dropped or when the process dies.
#[derive(Debug)]
pub struct FileLock {
    file: File,
}

impl FileLock {
    /// Takes the lock at `path` (made if needed, 0600; its folder 0700), waiting up to `deadline`; `what` names it for
    /// the user ("instance k3s-vm"). A note says once who holds it while it waits (pid and command, written into the
    /// file), unless it is free again at the second look: the VM's keeper takes it for milliseconds. On the deadline a [`model::FaultClass::State`] fault names the holder.
    ///
    /// # Errors
    /// That State fault, Interrupted, or a fault that names the path.
    pub fn acquire(path: &Path, what: &str, deadline: Duration, events: &dyn EventSink) -> Result<Self> {
        let mut file = open(path)?;
        let looks = Cell::new(0_u32);
        let wait = Wait { what: &format!("the lock of {what}"), deadline, interval: INTERVAL };
        let locked = wait.until(|_| match file.try_lock() {
            Ok(()) => Ok(Look::Ready(())),
            Err(TryLockError::WouldBlock) => {
                let holder = holder(path);
                looks.set(looks.get().saturating_add(1));
                if looks.get() == 2 {
                    events.note(format!("waiting for {what}, which is in use by {holder}"));
                }
                Ok(Look::NotYet(format!("in use by {holder}")))
            }
            Err(TryLockError::Error(error)) => Err(at_path("lock", path, &error)),
        });
        match locked {
            Ok(()) => {}
            Err(fault) if fault.class() == FaultClass::Timeout => return Err(in_use(path, what, deadline)),
            Err(fault) => return Err(fault),
        }
        match write_holder(&mut file) {
            // The lock is held all the same, and `stop` must work on a full disk.
            Err(error) if !matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => {
                Err(at_path("write", path, &error))
            }
            _ => Ok(FileLock { file }),
        }
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        let _ = self.file.set_len(0);
        // Closing the descriptor would not do at once: a program that another thread starts this moment holds a copy
        // of it until execve(2).
        let _ = self.file.unlock();
    }
}

fn open(path: &Path) -> Result<File> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.exists()) {
        crate::files::create_private_dir(folder)?;
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

fn in_use(path: &Path, what: &str, deadline: Duration) -> Fault {
    let fault = Fault::new(FaultClass::State, format!("{what} is in use by {}", holder(path)));
    let fault = if deadline.is_zero() {
        fault
    } else {
        fault.because(format!("it was not released within {}", humantime::format_duration(deadline)))
    };
    fault.next("wait until that command has ended, then run this one again")
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
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;
    use std::sync::mpsc;

    use model::Event;
    use model::event::Silent;

    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    fn acquire(path: &Path, deadline: Duration) -> Result<FileLock> {
        FileLock::acquire(path, "instance k3s-vm", deadline, &Silent)
    }

    fn new_path() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vm").join("lock");
        (folder, path)
    }

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_second_taker_is_refused_and_told_the_holder() {
        let (_folder, path) = new_path();
        let held = acquire(&path, LONG).unwrap();
        let fault = acquire(&path, Duration::ZERO).unwrap_err();
        assert_eq!(fault.class(), FaultClass::State);
        let begin = format!("instance k3s-vm is in use by process {} (", std::process::id());
        assert!(fault.what().starts_with(&begin), "{fault}");
        drop(held);
        acquire(&path, Duration::ZERO).unwrap();
    }

    #[test]
    fn the_file_is_private_and_stays() {
        let (_folder, path) = new_path();
        drop(acquire(&path, LONG).unwrap());
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        assert_eq!(std::fs::read(&path).unwrap(), b"");
    }

    #[test]
    fn a_file_left_by_a_dead_holder_is_no_lock() {
        let (_folder, path) = new_path();
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "4711 k3s-vm start\nand more that an older version wrote\n").unwrap();
        let _held = acquire(&path, Duration::ZERO).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with(&format!("{} ", std::process::id())), "{text}");
        assert_eq!(text.lines().count(), 1);
    }

    #[test]
    fn the_deadline_is_told() {
        let (_folder, path) = new_path();
        let _held = acquire(&path, LONG).unwrap();
        let fault = acquire(&path, Duration::from_millis(30)).unwrap_err();
        assert_eq!(fault.why(), ["it was not released within 30ms"]);
    }

    /// Hands on the notes.
    struct Notes(mpsc::Sender<String>);

    impl EventSink for Notes {
        fn emit(&self, event: Event) {
            if let Event::Note { text } = event {
                self.0.send(text).unwrap();
            }
        }
    }

    #[test]
    fn a_waiter_says_so_once_and_gets_the_lock_when_it_is_free() {
        let (_folder, path) = new_path();
        let held = acquire(&path, LONG).unwrap();
        let (notes, heard) = mpsc::channel();
        let waiter = std::thread::spawn({
            let path = path.clone();
            move || FileLock::acquire(&path, "instance k3s-vm", LONG, &Notes(notes))
        });
        let note = heard.recv().unwrap();
        assert!(note.starts_with("waiting for instance k3s-vm, which is in use by process "), "{note}");
        drop(held);
        let _taken = waiter.join().unwrap().unwrap();
        assert_eq!(heard.try_recv(), Err(mpsc::TryRecvError::Disconnected), "one note is enough");
        assert!(acquire(&path, Duration::ZERO).is_err());
    }

    #[test]
    fn the_lock_dies_with_its_process() {
        let (_folder, path) = new_path();
        drop(acquire(&path, LONG).unwrap());
        // flock(1) holds the lock until its program, cat, sees the end of its input.
        let mut holder = std::process::Command::new("flock")
            .arg(&path)
            .args(["-c", "echo locked; exec cat"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = [0; 7];
        holder.stdout.take().unwrap().read_exact(&mut said).unwrap();
        let fault = acquire(&path, Duration::ZERO).unwrap_err();
        assert_eq!(fault.what(), "instance k3s-vm is in use by another process");
        drop(holder.stdin.take());
        holder.wait().unwrap();
        acquire(&path, LONG).unwrap();
    }
}
