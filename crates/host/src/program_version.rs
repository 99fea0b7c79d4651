//! Versions of host programs, each asked for once and kept by file: to start a program only to hear its version costs
//! up to a tenth of a second.
//!
//! How a program is asked and what its answer means belongs to the caller.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use model::paths::CachePaths;
use model::{Error, ErrorClass, EventSink, Result};

use crate::files::{self, Mode};

/// What `ask` tells of `program`, or what it told before of this very file. A cache that cannot be read or written only
/// costs time.
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

/// The same for another fact of the program, which `what` names.
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
    // The former file under this path is no more.
    let path = subject(program, what);
    known.retain(|other, _| other.split_once(' ').is_none_or(|(_, of)| of != path));
    known.insert(key, version.clone());
    if let Err(error) = keep(&file, cache, &known) {
        events.debug(error.to_string());
    }
    Ok(version)
}

/// What was told before of this very file. Starts nothing.
pub fn known(program: &Path, cache: &CachePaths) -> Option<String> {
    read(&cache.program_versions()).ok()?.remove(&key(program, "")?)
}

fn read(file: &Path) -> Result<BTreeMap<String, String>> {
    Ok(files::read_optional(file)?.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default())
}

/// What changes when another program comes under the path: the time, size and inode of the file behind all links.
fn key(program: &Path, what: &str) -> Option<String> {
    let facts = std::fs::metadata(program).ok()?;
    let (time, nanoseconds) = (facts.mtime(), facts.mtime_nsec());
    Some(format!("{time}.{nanoseconds:09}-{}-{} {}", facts.size(), facts.ino(), subject(program, what)))
}

fn subject(program: &Path, what: &str) -> String {
    if what.is_empty() { program.display().to_string() } else { format!("{} {what}", program.display()) }
}

fn keep(file: &Path, cache: &CachePaths, known: &BTreeMap<String, String>) -> Result<()> {
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
    fn it_is_asked_once_and_again_when_the_program_is_another() {
        let scratch = tempfile::tempdir().expect("a directory");
        let program = scratch.path().join("program");
        let cache = CachePaths::new(scratch.path().join("cache"));
        let asked = Cell::new(0);
        let version = || {
            remembered(&program, &cache, &Silent, |program| {
                asked.set(asked.get() + 1);
                Ok(std::fs::read_to_string(program).expect("readable"))
            })
            .expect("told")
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
        // Another fact of it is asked for and kept by itself.
        for _ in 0..2 {
            let fact = remembered_of(&program, "has wings", &cache, &Silent, |_| {
                asked.set(asked.get() + 1);
                Ok("no".to_owned())
            });
            assert_eq!(fact.expect("told"), "no");
        }
        assert_eq!((version(), asked.get()), ("v1.37.10".to_owned(), 3));
        let kept = std::fs::read_to_string(cache.program_versions()).expect("kept");
        assert!(!kept.contains("v1.32.4"), "{kept}");
    }

    #[test]
    fn a_cache_that_cannot_be_written_is_no_error_and_a_refusal_is_not_kept() {
        let cache = CachePaths::new("/proc/no/such/directory");
        let told = |program: &str| {
            remembered(Path::new(program), &cache, &Silent, |_| match program {
                "/bin/true" => Ok("1".to_owned()),
                _ => Err(Error::new(ErrorClass::Host, "it does not run")),
            })
        };
        assert_eq!(told("/bin/true").expect("told"), "1");
        assert!(told("/bin/false").is_err());
        assert!(told("/nonexistent").is_err());
    }
}
