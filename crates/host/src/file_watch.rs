//! Directories in which something changes: inotify(7), and a wait that ends when they are quiet again.
//!
//! It says that something happened, never what: who asks looks for themselves. What inotify does not tell (network
//! filesystems, a directory above that was replaced) shows at a look in between, which [`FileWatch::wait`] allows for.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use model::{Error, ErrorClass, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;

use crate::deadline::moment_after;
use crate::interrupt;

/// Directories under watch.
#[derive(Debug)]
pub struct FileWatch {
    descriptor: OwnedFd,
}

impl FileWatch {
    /// A watch of nothing yet.
    ///
    /// # Errors
    /// A Host error where the user has too many watches already.
    pub fn new() -> Result<Self> {
        let descriptor = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).map_err(|error| {
            Error::new(ErrorClass::Host, "files cannot be watched")
                .because(error)
                .next("sysctl fs.inotify.max_user_instances    # the limit, which other programs have used up")
        })?;
        Ok(FileWatch { descriptor })
    }

    /// Watches the entries of `directory`, which may be watched already; a directory that is not there is not watched.
    /// Files that are replaced, made, removed or closed after writing count; a file that stays open does not.
    ///
    /// # Errors
    /// A Host error where the user has too many watches already.
    pub fn add(&self, directory: &Path) -> Result<()> {
        let events = WatchFlags::CLOSE_WRITE
            | WatchFlags::MOVE
            | WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        match inotify::add_watch(&self.descriptor, directory, events) {
            Ok(_) | Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => Ok(()),
            Err(error) => Err(Error::new(ErrorClass::Host, format!("{} cannot be watched", directory.display()))
                .because(error)
                .next("sysctl fs.inotify.max_user_watches    # the limit, which other programs have used up")),
        }
    }

    /// Returns after something has happened and then nothing more for `quiet`, or when `longest` has passed.
    ///
    /// # Errors
    /// An Interrupted error when the user asks to stop.
    pub fn wait(&self, quiet: Duration, longest: Duration) -> Result<()> {
        let end = moment_after(longest);
        let mut patience = longest;
        loop {
            interrupt::check()?;
            let left = end.saturating_duration_since(Instant::now()).min(patience);
            if left.is_zero() || !self.happened(left) {
                return interrupt::check();
            }
            patience = quiet;
        }
    }

    /// Waits for an event and takes what there is; false where there was none, or an interrupt.
    fn happened(&self, limit: Duration) -> bool {
        let wake = interrupt::wake_fd();
        let mut fds = vec![PollFd::from_borrowed_fd(self.descriptor.as_fd(), PollFlags::IN)];
        fds.extend(wake.as_ref().map(|fd| PollFd::new(fd, PollFlags::IN)));
        // An error can only be EINTR here, and then the caller looks for the interrupt.
        let _ = poll(&mut fds, Some(&interrupt::timespec(limit)));
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&self.descriptor, &mut buffer);
        let mut any = false;
        // Ends with EAGAIN when nothing is left.
        while reader.next().is_ok() {
            any = true;
        }
        any
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const NONE: Duration = Duration::ZERO;
    const LONG: Duration = Duration::from_secs(600);

    /// Each change is one that a program makes to save a file. The wait would last ten minutes if it went unnoticed.
    #[test]
    fn every_way_to_save_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let (file, other) = (directory.path().join("a.yaml"), directory.path().join("b.yaml"));
        fs::write(&file, "a").unwrap();
        let watch = FileWatch::new().unwrap();
        watch.add(directory.path()).unwrap();
        watch.add(directory.path()).unwrap();
        fs::write(&file, "b").unwrap();
        watch.wait(NONE, LONG).unwrap();
        fs::rename(&file, &other).unwrap();
        watch.wait(NONE, LONG).unwrap();
        fs::remove_file(&other).unwrap();
        watch.wait(NONE, LONG).unwrap();
        fs::create_dir(directory.path().join("sub")).unwrap();
        watch.wait(NONE, LONG).unwrap();
    }

    #[test]
    fn what_is_read_or_only_opened_is_no_news() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a.yaml");
        fs::write(&file, "a").unwrap();
        let watch = FileWatch::new().unwrap();
        watch.add(directory.path()).unwrap();
        fs::read(&file).unwrap();
        assert!(!watch.happened(NONE));
    }

    #[test]
    fn a_directory_that_is_deleted_and_made_again_can_be_watched_again() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("manifests");
        let watch = FileWatch::new().unwrap();
        watch.add(&directory).unwrap();
        watch.add(parent.path()).unwrap();
        for _ in 0..2 {
            fs::create_dir(&directory).unwrap();
            watch.wait(NONE, LONG).unwrap();
            watch.add(&directory).unwrap();
            fs::write(directory.join("a.yaml"), "a").unwrap();
            watch.wait(NONE, LONG).unwrap();
            fs::remove_dir_all(&directory).unwrap();
            watch.wait(NONE, LONG).unwrap();
            while watch.happened(NONE) {}
        }
    }
}
