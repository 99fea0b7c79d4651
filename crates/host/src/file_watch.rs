//! Watches directories for changes with inotify(7), and waits until they are quiet again.
//!
//! It reports that something changed, not what. Changes that inotify does not report (network filesystems, a replaced
//! parent directory) have to be checked from time to time, for which [`FileWatch::wait`] has a limit.

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

/// A set of watched directories.
#[derive(Debug)]
pub struct FileWatch {
    descriptor: OwnedFd,
}

impl FileWatch {
    /// A watch without directories.
    ///
    /// # Errors
    /// A Host error if the user has too many inotify instances.
    pub fn new() -> Result<Self> {
        let descriptor = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).map_err(|error| {
            Error::new(ErrorClass::Host, "files cannot be watched")
                .because(error)
                .next("sysctl fs.inotify.max_user_instances    # the limit, which other programs have used up")
        })?;
        Ok(FileWatch { descriptor })
    }

    /// Watches the entries of `directory`, which may be watched already; does nothing if it does not exist. Changes are
    /// files that are created, replaced, removed, or closed after writing.
    ///
    /// # Errors
    /// A Host error if the user has too many watches.
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

    /// Returns after a change that is followed by none for `quiet`, or after `longest`.
    ///
    /// # Errors
    /// Of class Interrupted if the user interrupts.
    pub fn wait(&self, quiet: Duration, longest: Duration) -> Result<()> {
        let end = moment_after(longest);
        let mut limit = longest;
        loop {
            interrupt::check()?;
            let left = end.saturating_duration_since(Instant::now()).min(limit);
            if left.is_zero() || !self.happened(left) {
                return interrupt::check();
            }
            limit = quiet;
        }
    }

    /// Waits for events and takes them all. Returns false if there was none within `limit`, or an interrupt.
    fn happened(&self, limit: Duration) -> bool {
        let wake = interrupt::wake_fd();
        let mut fds = vec![PollFd::from_borrowed_fd(self.descriptor.as_fd(), PollFlags::IN)];
        fds.extend(wake.as_ref().map(|fd| PollFd::new(fd, PollFlags::IN)));
        // The only possible error is EINTR, after which the caller checks for the interrupt.
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

    /// Programs save files in these ways. The wait would last ten minutes if one went unnoticed.
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
    fn reading_a_file_is_no_change() {
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
