//! Tests of locks with threads and another process.

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
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("vm").join("lock");
    (directory, path)
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_second_lock_is_refused_with_the_name_of_the_holder() {
    let (_directory, path) = new_path();
    let held = acquire(&path, LONG).unwrap();
    let error = acquire(&path, Duration::ZERO).unwrap_err();
    assert_eq!(error.class(), ErrorClass::State);
    let begin = format!("instance k3s-vm is in use by process {} (", std::process::id());
    assert!(error.what().starts_with(&begin), "{error}");
    drop(held);
    acquire(&path, Duration::ZERO).unwrap();
}

#[test]
fn trying_takes_a_free_lock_and_does_not_wait_for_a_held_one() {
    let (_directory, path) = new_path();
    let held = FileLock::try_acquire(&path).unwrap().unwrap();
    assert!(FileLock::try_acquire(&path).unwrap().is_none());
    let error = acquire(&path, Duration::ZERO).unwrap_err();
    assert!(error.what().contains(&std::process::id().to_string()), "the holder is not named: {error}");
    drop(held);
    assert!(FileLock::try_acquire(&path).unwrap().is_some());
}

#[test]
fn the_file_is_private_and_stays() {
    let (_directory, path) = new_path();
    drop(acquire(&path, LONG).unwrap());
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    assert_eq!(std::fs::read(&path).unwrap(), b"");
}

/// Threads take the lock, check that they are alone, and remove the file or its directory before they release it.
#[test]
fn a_lock_file_was_removed_while_others_waited_and_two_held_the_lock() {
    use std::sync::atomic::{AtomicU32, Ordering};

    let (_directory, path) = new_path();
    let inside = AtomicU32::new(0);
    let start = std::sync::Barrier::new(8);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (path, inside, start) = (&path, &inside, &start);
            scope.spawn(move || {
                start.wait();
                for turn in 0..40 {
                    let held = loop {
                        match acquire(path, Duration::from_millis(1)) {
                            Ok(held) => break held,
                            Err(error) if error.class() == ErrorClass::State => std::thread::yield_now(),
                            // The directory was moved before the file was created in it.
                            Err(error) => assert!(error.to_string().contains("No such file"), "{error}"),
                        }
                    };
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two hold the lock");
                    std::thread::yield_now();
                    assert_eq!(inside.fetch_sub(1, Ordering::SeqCst), 1, "two hold the lock");
                    if (thread + turn) % 2 == 0 {
                        std::fs::remove_file(path).unwrap();
                    } else {
                        let directory = path.parent().unwrap();
                        let elsewhere = directory.with_file_name(format!("{thread}-{turn}"));
                        std::fs::rename(directory, elsewhere).unwrap();
                    }
                    drop(held);
                }
            });
        }
    });
}

#[test]
fn a_lock_file_was_replaced_between_its_opening_and_the_lock_and_two_held_the_lock() {
    let (_directory, path) = new_path();
    let other = std::cell::RefCell::new(None);
    let open = || {
        let file = open(&path)?;
        let mut other = other.borrow_mut();
        if other.is_none() {
            std::fs::remove_file(&path).unwrap();
            *other = Some(acquire(&path, Duration::ZERO)?);
        }
        Ok(Some(file))
    };
    let request = Request { path: &path, what: "instance k3s-vm", deadline: Duration::ZERO, events: &Silent };
    let error = request.take(open, Sharing::Alone).expect_err("two hold the lock");
    assert_eq!(error.class(), ErrorClass::State);
}

#[test]
fn a_wait_for_a_file_that_is_removed_meanwhile_returns_none() {
    let (directory, _) = new_path();
    let path = directory.path().join("image");
    let existing = |sharing, deadline| FileLock::acquire_existing(&path, sharing, "the guest image", deadline, &Silent);
    assert!(existing(Sharing::Shared, LONG).unwrap().is_none());
    std::fs::create_dir(&path).unwrap();
    let shared = existing(Sharing::Shared, LONG).unwrap().unwrap();
    let other = existing(Sharing::Shared, LONG).unwrap().unwrap();
    assert_eq!(existing(Sharing::Alone, Duration::ZERO).unwrap_err().class(), ErrorClass::State);
    drop((shared, other));
    let alone = existing(Sharing::Alone, LONG).unwrap().unwrap();
    let (notes, heard) = mpsc::channel();
    std::thread::scope(|scope| {
        let path = &path;
        let waiter = scope
            .spawn(move || FileLock::acquire_existing(path, Sharing::Shared, "the guest image", LONG, &Notes(notes)));
        heard.recv().unwrap();
        std::fs::remove_dir(path).unwrap();
        drop(alone);
        assert!(waiter.join().unwrap().unwrap().is_none());
    });
}

#[test]
fn a_file_of_a_dead_holder_is_not_locked() {
    let (_directory, path) = new_path();
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    std::fs::write(&path, "4711 k3s-vm start\nand more that an older version wrote\n").unwrap();
    let _held = acquire(&path, Duration::ZERO).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.starts_with(&format!("{} ", std::process::id())), "{text}");
    assert_eq!(text.lines().count(), 1);
}

#[test]
fn the_error_names_the_deadline() {
    let (_directory, path) = new_path();
    let _held = acquire(&path, LONG).unwrap();
    let error = acquire(&path, Duration::from_millis(30)).unwrap_err();
    assert_eq!(error.why(), ["it was not released within 30ms"]);
}

/// Sends the notes to a channel.
struct Notes(mpsc::Sender<String>);

impl EventSink for Notes {
    fn emit(&self, event: Event) {
        if let Event::Note { text } = event {
            self.0.send(text).unwrap();
        }
    }
}

#[test]
fn a_wait_emits_one_note_and_gets_the_lock_when_it_is_free() {
    let (_directory, path) = new_path();
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
    let (_directory, path) = new_path();
    drop(acquire(&path, LONG).unwrap());
    // flock(1) holds the lock until cat reaches the end of its input.
    let mut holder = std::process::Command::new("flock")
        .arg(&path)
        .args(["-c", "echo locked; exec cat"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = [0; 7];
    holder.stdout.take().unwrap().read_exact(&mut said).unwrap();
    let error = acquire(&path, Duration::ZERO).unwrap_err();
    assert_eq!(error.what(), "instance k3s-vm is in use by another process");
    drop(holder.stdin.take());
    holder.wait().unwrap();
    acquire(&path, LONG).unwrap();
}

#[test]
fn an_attempt_does_not_wait_and_distinguishes_a_held_lock_from_a_missing_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lock");
    assert!(matches!(FileLock::try_acquire_existing(&path, Sharing::Alone).unwrap(), Attempt::Missing));
    let held = FileLock::try_acquire(&path).unwrap().expect("nobody holds it");
    assert!(FileLock::try_acquire(&path).unwrap().is_none());
    assert!(matches!(FileLock::try_acquire_existing(&path, Sharing::Shared).unwrap(), Attempt::InUse));
    drop(held);
    assert!(matches!(FileLock::try_acquire_existing(&path, Sharing::Shared).unwrap(), Attempt::Locked(_)));
}
