//! The version of the host's kubectl.

use std::path::Path;
use std::time::Duration;

use host::command::Command;
use host::program_version;
use model::paths::CachePaths;
use model::{Error, ErrorClass, EventSink, Result};
use serde_json::Value;

/// How long kubectl may take to print its version.
const DEADLINE: Duration = Duration::from_secs(20);

/// The version ("v1.32.4") of `program`; `None` where it does not print one.
pub(super) fn of(program: &Path, cache: &CachePaths, events: &dyn EventSink) -> Option<String> {
    program_version::remembered(program, cache, events, ask).map_err(|error| events.debug(error.to_string())).ok()
}

fn ask(program: &Path) -> Result<String> {
    let text = Command::new(program).args(["version", "--client", "-o", "json"]).deadline(DEADLINE).run()?;
    let answer: Value = serde_json::from_str(&text).unwrap_or_default();
    answer["clientVersion"]["gitVersion"].as_str().map(str::to_owned).ok_or_else(|| {
        Error::new(ErrorClass::Failed, format!("{} does not tell its version", program.display())).because(text)
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use model::event::Silent;

    use super::*;

    #[test]
    fn the_program_prints_it_and_a_program_that_prints_nothing_is_no_error() {
        let scratch = tempfile::tempdir().expect("a directory");
        let program = scratch.path().join("kubectl");
        let cache = CachePaths::new(scratch.path().join("cache"));
        let script = "#!/bin/sh\n\
            test \"$*\" = 'version --client -o json' && echo '{\"clientVersion\": {\"gitVersion\": \"v1.32.4\"}}'\n";
        std::fs::write(&program, script).expect("written");
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).expect("made executable");
        assert_eq!(of(&program, &cache, &Silent).as_deref(), Some("v1.32.4"));
        assert_eq!(of(Path::new("/bin/true"), &cache, &Silent), None);
        assert_eq!(of(Path::new("/nonexistent"), &cache, &Silent), None);
    }
}
