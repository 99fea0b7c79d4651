//! A cache of the versions of host programs, because starting a program for its version takes up to a tenth of a
//! second.
//!
//! The caller asks the programs and interprets the answers.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use model::paths::CachePaths;
use model::{Error, ErrorClass, EventSink, Result};

use crate::files::{self, Mode};

/// The version of `program` from the cache, or from `ask` if its file is new. Errors of the cache are only debug
/// messages.
///
/// # Errors
/// Those of `ask`.
pub fn remembered(
    program: &Path,
    cache: &CachePaths,
    events: &dyn EventSink,
    ask: impl FnOnce(&Path) -> Result<String>,
) -> Result<String> {
    remembered_of(program, "", cache, events, ask)
}

/// As [`remembered`], for another fact about the program, which `what` names.
///
/// # Errors
/// Those of `ask`.
pub fn remembered_of(
    program: &Path,
    what: &str,
    cache: &CachePaths,
    events: &dyn EventSink,
    ask: impl FnOnce(&Path) -> Result<String>,
) -> Result<String> {
    let Some(key) = key(program, what) else { return ask(program) };
    let file = cache.program_versions();
    let mut known = read(&file).unwrap_or_else(|error| {
        events.debug(error.to_string());
        BTreeMap::new()
    });
    if let Some(version) = known.get(&key) {
        return Ok(version.clone());
    }
    let version = ask(program)?;
    // Entries of the former file at this path are out of date.
    let path = subject(program, what);
    known.retain(|other, _| other.split_once(' ').is_none_or(|(_, of)| of != path));
    known.insert(key, version.clone());
    if let Err(error) = write(&file, cache, &known) {
        events.debug(error.to_string());
    }
    Ok(version)
}

/// The version of `program` in the cache, if there is one. Starts no program.
pub fn known(program: &Path, cache: &CachePaths) -> Option<String> {
    read(&cache.program_versions()).ok()?.remove(&key(program, "")?)
}

fn read(file: &Path) -> Result<BTreeMap<String, String>> {
    Ok(files::read_optional(file)?.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default())
}

/// The key of an entry: time, size and inode, which change with the file, and the path. Symbolic links are followed.
fn key(program: &Path, what: &str) -> Option<String> {
    let facts = std::fs::metadata(program).ok()?;
    let (time, nanoseconds) = (facts.mtime(), facts.mtime_nsec());
    Some(format!("{time}.{nanoseconds:09}-{}-{} {}", facts.size(), facts.ino(), subject(program, what)))
}

fn subject(program: &Path, what: &str) -> String {
    if what.is_empty() { program.display().to_string() } else { format!("{} {what}", program.display()) }
}

fn write(file: &Path, cache: &CachePaths, known: &BTreeMap<String, String>) -> Result<()> {
    files::create_dir(cache.root())?;
    let text = serde_json::to_vec_pretty(known)
        .map_err(|error| Error::new(ErrorClass::Failed, "cannot write the versions of programs").because(error))?;
    files::write_atomic(file, &text, Mode::Keep)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use model::event::Silent;

    use super::*;

    #[test]
    fn a_program_is_asked_once_and_again_after_its_file_changed() {
        let scratch = tempfile::tempdir().expect("a directory");
        let program = scratch.path().join("program");
        let cache = CachePaths::new(scratch.path().join("cache"));
        let asked = Cell::new(0);
        let version = || {
            remembered(&program, &cache, &Silent, |program| {
                asked.set(asked.get() + 1);
                Ok(std::fs::read_to_string(program).expect("readable"))
            })
            .expect("an answer")
        };
        std::fs::write(&program, "v1.32.4").expect("written");
        assert_eq!(known(&program, &cache), None);
        for _ in 0..3 {
            assert_eq!(version(), "v1.32.4");
        }
        assert_eq!((asked.get(), known(&program, &cache).as_deref()), (1, Some("v1.32.4")));
        std::fs::write(&program, "v1.37.10").expect("written");
        assert_eq!(known(&program, &cache), None);
        assert_eq!(version(), "v1.37.10");
        assert_eq!(asked.get(), 2);
        // Another fact has an entry of its own.
        for _ in 0..2 {
            let fact = remembered_of(&program, "has wings", &cache, &Silent, |_| {
                asked.set(asked.get() + 1);
                Ok("no".to_owned())
            });
            assert_eq!(fact.expect("an answer"), "no");
        }
        assert_eq!((version(), asked.get()), ("v1.37.10".to_owned(), 3));
        let cached = std::fs::read_to_string(cache.program_versions()).expect("cached");
        assert!(!cached.contains("v1.32.4"), "{cached}");
    }

    #[test]
    fn a_cache_that_cannot_be_written_is_no_error() {
        let cache = CachePaths::new("/proc/no/such/directory");
        let version_of = |program: &str| {
            remembered(Path::new(program), &cache, &Silent, |_| match program {
                "/bin/true" => Ok("1".to_owned()),
                _ => Err(Error::new(ErrorClass::Host, "it does not run")),
            })
        };
        assert_eq!(version_of("/bin/true").expect("an answer"), "1");
        assert!(version_of("/bin/false").is_err());
        assert!(version_of("/nonexistent").is_err());
    }
}
