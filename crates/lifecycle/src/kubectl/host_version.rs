//! The version of the host's kubectl, which costs a tenth of a second to ask for and is therefore kept in the cache.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use host::command::Command;
use host::files::{self, Mode};
use model::paths::CachePaths;
use model::{EventSink, Fault, FaultClass, Result};
use serde_json::Value;

/// Far longer than it takes.
const DEADLINE: Duration = Duration::from_secs(20);

/// The version ("v1.32.4") of `program`; nothing where it cannot be told. A cache that cannot be read or written only
/// costs time.
pub(super) fn of(program: &Path, cache: &CachePaths, events: &dyn EventSink) -> Option<String> {
    let key = key(program)?;
    let file = cache.kubectl_versions();
    let mut known: BTreeMap<String, String> = match files::read_optional(&file) {
        Ok(bytes) => bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default(),
        Err(fault) => {
            events.debug(fault.to_string());
            BTreeMap::new()
        }
    };
    if let Some(version) = known.get(&key) {
        return Some(version.clone());
    }
    let version = match ask(program) {
        Ok(version) => version,
        Err(fault) => {
            events.debug(fault.to_string());
            return None;
        }
    };
    // The former file under this path is no more.
    let path = program.display().to_string();
    known.retain(|other, _| other.split_once(' ').is_none_or(|(_, of)| of != path));
    known.insert(key, version.clone());
    if let Err(fault) = keep(&file, cache, &known) {
        events.debug(fault.to_string());
    }
    Some(version)
}

/// What changes when another program comes under the path: the time, size and inode of the file behind all links.
fn key(program: &Path) -> Option<String> {
    let facts = std::fs::metadata(program).ok()?;
    let (time, nanoseconds) = (facts.mtime(), facts.mtime_nsec());
    Some(format!("{time}.{nanoseconds:09}-{}-{} {}", facts.size(), facts.ino(), program.display()))
}

fn ask(program: &Path) -> Result<String> {
    let text = Command::new(program).args(["version", "--client", "-o", "json"]).deadline(DEADLINE).run()?;
    let answer: Value = serde_json::from_str(&text).unwrap_or_default();
    answer["clientVersion"]["gitVersion"].as_str().map(str::to_owned).ok_or_else(|| {
        Fault::new(FaultClass::Failed, format!("{} does not tell its version", program.display())).because(text)
    })
}

fn keep(file: &Path, cache: &CachePaths, known: &BTreeMap<String, String>) -> Result<()> {
    files::create_dir(cache.root())?;
    let text = serde_json::to_vec_pretty(known)
        .map_err(|error| Fault::new(FaultClass::Failed, "cannot write the versions of kubectl").because(error))?;
    files::write_atomic(file, &text, Mode::Keep)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use model::event::Silent;

    use super::*;

    fn install(path: &Path, version: &str) {
        let script = format!(
            "#!/bin/sh\necho asked >>\"$0.asked\"\n\
             test \"$*\" = 'version --client -o json' && echo '{{\"clientVersion\": {{\"gitVersion\": \"{version}\"}}}}'\n"
        );
        std::fs::write(path, script).expect("written");
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).expect("made executable");
    }

    #[test]
    fn it_is_asked_once_and_again_when_the_program_is_another() {
        let scratch = tempfile::tempdir().expect("a folder");
        let program = scratch.path().join("kubectl");
        let cache = CachePaths::new(scratch.path().join("cache"));
        let asked =
            || std::fs::read_to_string(scratch.path().join("kubectl.asked")).map_or(0, |text| text.lines().count());
        install(&program, "v1.32.4");
        for _ in 0..3 {
            assert_eq!(of(&program, &cache, &Silent).as_deref(), Some("v1.32.4"));
        }
        assert_eq!(asked(), 1);
        install(&program, "v1.37.10");
        assert_eq!(of(&program, &cache, &Silent).as_deref(), Some("v1.37.10"));
        assert_eq!(asked(), 2);
        let kept = std::fs::read_to_string(cache.kubectl_versions()).expect("kept");
        assert!(!kept.contains("v1.32.4"), "{kept}");
    }

    #[test]
    fn a_cache_that_cannot_be_written_and_a_program_that_says_nothing_are_no_faults() {
        let scratch = tempfile::tempdir().expect("a folder");
        let program = scratch.path().join("kubectl");
        install(&program, "v1.32.4");
        let cache = CachePaths::new("/proc/no/such/folder");
        assert_eq!(of(&program, &cache, &Silent).as_deref(), Some("v1.32.4"));
        assert_eq!(of(Path::new("/bin/true"), &cache, &Silent), None);
        assert_eq!(of(Path::new("/nonexistent"), &cache, &Silent), None);
    }
}
