//! A cache directory of artifacts, each named by its key: built once, under a lock, complete or absent.
//!
//! It knows names, locks and renames; the caller builds the artifact.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use host::digest::Sha256;
use host::files::Mode;
use host::io_error::at_path;
use host::lock::FileLock;
use model::{Error, ErrorClass, EventSink, Result};

use crate::directory_entries::{Kind, entries};

const PARTIAL: &str = ".partial";
/// The file with the SHA-256 of each file of an artifact, by its relative path.
const DIGESTS: &str = "digests.json";

/// Removes a directory of a builder, which may contain files of other owners.
pub(crate) type Remove<'a> = &'a (dyn Fn(&Path) -> Result<()> + Sync);

/// A directory of finished artifacts, and the locks of those that are being built.
#[derive(Clone, Copy)]
pub(crate) struct Store<'a> {
    /// The directory.
    pub(crate) directory: &'a Path,
    /// The directory of the locks.
    pub(crate) locks: &'a Path,
    /// Removes an incomplete or damaged artifact.
    pub(crate) remove: Remove<'a>,
    /// Whether an artifact is compared with its digests before each use, and built again if it is damaged. Not for
    /// guest images: those are verified by their manifests and never removed.
    pub(crate) compares: bool,
}

impl Store<'_> {
    /// The finished artifact of this key, if it exists.
    pub(crate) fn find(&self, key: &str) -> Option<PathBuf> {
        let path = self.directory.join(key);
        path.is_dir().then_some(path)
    }

    /// Finds the artifact, or calls `build` with a new, empty directory, which is renamed to the key when `build`
    /// succeeds. `what` names the artifact in messages; `deadline` bounds the wait for another builder.
    ///
    /// # Errors
    /// That of `build`, of the lock, or of the directory.
    pub(crate) fn ensure(
        &self,
        key: &str,
        what: &str,
        deadline: Duration,
        events: &dyn EventSink,
        build: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<PathBuf> {
        if let Some(found) = self.find(key)
            && self.damage(&found).is_none()
        {
            return Ok(found);
        }
        host::files::create_dir(self.directory)?;
        let _lock = FileLock::acquire(&self.lock(key), what, deadline, events)?;
        if let Some(found) = self.find(key) {
            let Some(why) = self.damage(&found) else { return Ok(found) };
            events.warning(format!("{} is damaged: {why}; it is built again", found.display()));
            (self.remove)(&found)?;
        }
        self.sweep()?;
        let partial = self.directory.join(format!("{key}{PARTIAL}"));
        (self.remove)(&partial)?;
        host::files::create_dir(&partial)?;
        if let Err(error) = build(&partial).and_then(|()| self.describe(&partial)) {
            // The error of the build matters more; the next builder removes what could not be removed now.
            if let Err(second) = (self.remove)(&partial) {
                events.debug(second.to_string());
            }
            return Err(error);
        }
        let finished = self.directory.join(key);
        host::files::publish(&partial, &finished)?;
        Ok(finished)
    }

    /// Writes the digests of a finished artifact.
    fn describe(&self, directory: &Path) -> Result<()> {
        if !self.compares {
            return Ok(());
        }
        let mut digests = BTreeMap::new();
        for entry in entries(directory)? {
            if let Kind::File { .. } = entry.kind {
                let path = directory.join(&entry.relative);
                digests.insert(entry.relative, Sha256::of_file(&path)?.to_string());
            }
        }
        let text = serde_json::to_vec_pretty(&digests).map_err(|error| {
            Error::new(ErrorClass::Failed, "the digests of what was built cannot be written").because(error)
        })?;
        host::files::write_atomic(&directory.join(DIGESTS), &text, Mode::Exactly(0o644))
    }

    /// The damage of an artifact, if there is any. One without digests, of an older version, counts as undamaged.
    fn damage(&self, directory: &Path) -> Option<String> {
        if !self.compares {
            return None;
        }
        let text = host::files::read_optional(&directory.join(DIGESTS)).ok()??;
        let Ok(digests) = serde_json::from_slice::<BTreeMap<PathBuf, String>>(&text) else {
            return Some(format!("{DIGESTS} cannot be read"));
        };
        digests.into_iter().find_map(|(name, expected)| match Sha256::of_file(&directory.join(&name)) {
            Ok(found) if Sha256::parse(&expected) == Some(found) => None,
            Ok(found) => Some(format!("{} has the SHA-256 {found} instead of {expected}", name.display())),
            Err(error) => Some(error.to_string()),
        })
    }

    /// Removes incomplete artifacts of builders that died: those without a held lock.
    fn sweep(&self) -> Result<()> {
        let read =
            fs::read_dir(self.directory).map_err(|error| at_path("read the directory", self.directory, &error))?;
        for entry in read.flatten() {
            let name = entry.file_name();
            let Some(key) = name.to_str().and_then(|name| name.strip_suffix(PARTIAL)) else { continue };
            // If it is held, the builder is alive; it may be this one.
            if let Some(_lock) = FileLock::try_acquire(&self.lock(key))? {
                (self.remove)(&entry.path())?;
            }
        }
        Ok(())
    }

    fn lock(&self, key: &str) -> PathBuf {
        self.locks.join(format!("{key}.lock"))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicU32, Ordering};

    use model::event::Silent;
    use testkit::RecordingSink;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    struct Scratch(tempfile::TempDir);

    impl Scratch {
        fn new() -> Self {
            Scratch(tempfile::tempdir().unwrap())
        }
        fn directory(&self) -> PathBuf {
            self.0.path().join("artifacts")
        }
        fn locks(&self) -> PathBuf {
            self.0.path().join("locks")
        }
        fn names(&self) -> Vec<String> {
            let mut names: Vec<_> = fs::read_dir(self.directory())
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        }
    }

    #[test]
    fn concurrent_builders_build_once_and_all_get_the_complete_artifact() {
        let scratch = Scratch::new();
        let (directory, locks) = (scratch.directory(), scratch.locks());
        let store = Store { compares: false, directory: &directory, locks: &locks, remove: &host::files::remove };
        let (built, start) = (AtomicU32::new(0), Barrier::new(4));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    start.wait();
                    let path = store.ensure("k", "artifact k", LONG, &Silent, |into| {
                        built.fetch_add(1, Ordering::SeqCst);
                        fs::write(into.join("content"), "whole").unwrap();
                        Ok(())
                    });
                    assert_eq!(fs::read_to_string(path.unwrap().join("content")).unwrap(), "whole");
                });
            }
        });
        assert_eq!(built.load(Ordering::SeqCst), 1);
        assert_eq!(scratch.names(), ["k"]);
    }

    #[test]
    fn a_failed_build_leaves_nothing_and_the_next_one_starts_over() {
        let scratch = Scratch::new();
        let (directory, locks) = (scratch.directory(), scratch.locks());
        let store = Store { compares: false, directory: &directory, locks: &locks, remove: &host::files::remove };
        let error = store
            .ensure("k", "artifact k", LONG, &Silent, |into| {
                fs::write(into.join("half"), "").unwrap();
                Err(Error::new(ErrorClass::Failed, "no"))
            })
            .unwrap_err();
        assert_eq!(error.what(), "no");
        assert_eq!(store.find("k"), None);
        assert_eq!(scratch.names(), [""; 0]);
        let path = store.ensure("k", "artifact k", LONG, &Silent, |into| {
            assert_eq!(fs::read_dir(into).unwrap().count(), 0);
            Ok(())
        });
        assert_eq!(store.find("k"), Some(path.unwrap()));
    }

    #[test]
    fn a_build_used_a_part_that_a_power_cut_had_damaged() {
        let scratch = Scratch::new();
        let (directory, locks) = (scratch.directory(), scratch.locks());
        let store = Store { compares: true, directory: &directory, locks: &locks, remove: &host::files::remove };
        let (built, events) = (AtomicU32::new(0), RecordingSink::default());
        let ensure = || {
            let path = store.ensure("k", "artifact k", LONG, &events, |into| {
                built.fetch_add(1, Ordering::SeqCst);
                fs::create_dir(into.join("bin")).unwrap();
                fs::write(into.join("bin/program"), "whole").unwrap();
                Ok(())
            });
            path.unwrap().join("bin/program")
        };
        let program = ensure();
        ensure();
        assert_eq!((built.load(Ordering::SeqCst), events.warnings().len()), (1, 0));
        for damage in [b"WHOLE".as_slice(), b""] {
            fs::write(&program, damage).unwrap();
            assert_eq!(fs::read(ensure()).unwrap(), b"whole");
        }
        fs::remove_file(&program).unwrap();
        assert_eq!(fs::read(ensure()).unwrap(), b"whole");
        assert_eq!((built.load(Ordering::SeqCst), events.warnings().len()), (4, 3));
        // An artifact without digests, of an older version.
        fs::remove_file(directory.join("k").join(DIGESTS)).unwrap();
        fs::write(&program, "old").unwrap();
        assert_eq!(fs::read(ensure()).unwrap(), b"old");
    }

    #[test]
    fn what_a_killed_builder_left_is_removed_and_what_a_live_one_builds_stays() {
        let scratch = Scratch::new();
        let (directory, locks) = (scratch.directory(), scratch.locks());
        for name in ["dead.partial", "live.partial", "k.partial"] {
            fs::create_dir_all(directory.join(name)).unwrap();
            fs::write(directory.join(name).join("half"), "").unwrap();
        }
        let store = Store { compares: false, directory: &directory, locks: &locks, remove: &host::files::remove };
        let _live = FileLock::acquire(&store.lock("live"), "live", LONG, &Silent).unwrap();
        assert_eq!(store.find("dead"), None);
        store
            .ensure("k", "artifact k", LONG, &Silent, |into| {
                assert_eq!(fs::read_dir(into).unwrap().count(), 0);
                Ok(())
            })
            .unwrap();
        assert_eq!(scratch.names(), ["k", "live.partial"]);
    }
}
