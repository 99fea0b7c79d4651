//! Finds the host's Nix and checks its version.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use host::command::Command;
use host::{program_version, tools};
use model::paths::CachePaths;
use model::{Error, ErrorClass, EventSink, Result};

/// The program of Nix that is called. Every installation has it, whatever its experimental features.
const PROGRAM: &str = "nix-build";
/// The oldest Nix that can evaluate nixpkgs (nixpkgs, `lib/minfeatures.nix`).
const OLDEST: [u32; 2] = [2, 18];
/// To print the version takes milliseconds, or seconds with a cold disk.
const DEADLINE: Duration = Duration::from_secs(30);

/// Where to look for Nix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Places {
    /// The value of PATH.
    pub(crate) path: OsString,
    /// Profiles that are in a shell's PATH only after Nix's script `nix.sh` or `nix-daemon.sh` has run.
    pub(crate) profiles: Vec<PathBuf>,
}

/// The host's Nix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Program {
    /// The path of `nix-build`.
    pub(crate) path: PathBuf,
    /// Whether it was found in PATH.
    pub(crate) is_in_path: bool,
}

impl Places {
    /// The places of this process.
    pub(crate) fn of_process() -> Self {
        let mut profiles = vec![PathBuf::from("/nix/var/nix/profiles/default/bin")];
        profiles.extend(std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".nix-profile/bin")));
        profiles.push(PathBuf::from("/run/current-system/sw/bin"));
        Places { path: std::env::var_os("PATH").unwrap_or_default(), profiles }
    }

    /// Finds Nix. Runs no program.
    pub(crate) fn find(&self) -> Option<Program> {
        let found = tools::find_in(OsStr::new(PROGRAM), &self.path).map(|path| Program { path, is_in_path: true });
        found.or_else(|| {
            let places = std::env::join_paths(&self.profiles).unwrap_or_default();
            let path = tools::find_in(OsStr::new(PROGRAM), &places)?;
            Some(Program { path, is_in_path: false })
        })
    }

    /// The error if Nix was not found.
    pub(crate) fn not_found(&self) -> Error {
        let looked: Vec<String> = self.profiles.iter().map(|directory| directory.display().to_string()).collect();
        Error::new(ErrorClass::Host, "Nix is not installed")
            .because(format!("there is no `{PROGRAM}` in PATH, nor in {}", looked.join(", ")))
            .next("sh <(curl -L https://nixos.org/nix/install) --daemon    # installs Nix, as nixos.org says")
            .next(WITHOUT_NIX)
    }
}

/// The next step that always works.
pub(crate) const WITHOUT_NIX: &str = "k3s-vm start --provider debian    # a Debian guest, made without Nix";

impl Program {
    /// The cached version, if there is one. Runs no program.
    pub(crate) fn known_version(&self, cache: &CachePaths) -> Option<String> {
        program_version::known(&self.path, cache)
    }

    /// The version.
    ///
    /// # Errors
    /// A Host error if it does not run or prints no version.
    pub(crate) fn version(&self, cache: &CachePaths, events: &dyn EventSink) -> Result<String> {
        program_version::remembered(&self.path, cache, events, ask).map_err(|error| {
            error
                .as_reason_of(ErrorClass::Host, format!("the Nix in {} does not work", self.path.display()))
                .next(WITHOUT_NIX)
        })
    }

    /// Checks that it is new enough.
    ///
    /// # Errors
    /// A Host error if it is too old or does not run.
    pub(crate) fn check(&self, cache: &CachePaths, events: &dyn EventSink) -> Result<()> {
        let version = self.version(cache, events)?;
        if is_too_old(&version) {
            return Err(Error::new(ErrorClass::Host, too_old(&version))
                .because(format!("{} is the one in your PATH or profile", self.path.display()))
                .next("nix upgrade-nix    # or as your system does it")
                .next(WITHOUT_NIX));
        }
        Ok(())
    }

    /// Notes the directory of a Nix that is not in PATH.
    pub(crate) fn note_place(&self, events: &dyn EventSink) {
        if !self.is_in_path {
            let directory = self.path.parent().unwrap_or(&self.path);
            events.note(format!("using the Nix in {}, which is not in PATH", directory.display()));
        }
    }
}

/// Whether a version ("2.18.1") is too old for nixpkgs. One that is not a number counts as new.
pub(crate) fn is_too_old(version: &str) -> bool {
    tools::parse_version(version).is_some_and(|numbers| numbers.as_slice() < OLDEST.as_slice())
}

/// The message for a version that is too old.
pub(crate) fn too_old(version: &str) -> String {
    format!("Nix {version} is too old: nixpkgs needs {}.{} or newer", OLDEST[0], OLDEST[1])
}

/// Runs `nix-build --version` and returns the number in "nix-build (Nix) 2.18.1". Forks such as Lix print other names.
fn ask(program: &Path) -> Result<String> {
    let text = Command::new(program).arg("--version").deadline(DEADLINE).run()?;
    let numbers = tools::parse_version(&text).ok_or_else(|| {
        Error::new(ErrorClass::Failed, format!("{} does not print its version", program.display())).because(text.trim())
    })?;
    Ok(numbers.iter().map(u32::to_string).collect::<Vec<_>>().join("."))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use model::event::Silent;
    use testkit::RecordingSink;

    use super::*;

    fn install(directory: &Path, says: &str) -> PathBuf {
        std::fs::create_dir_all(directory).unwrap();
        let path = directory.join(PROGRAM);
        std::fs::write(&path, format!("#!/bin/sh\necho '{says}'\n")).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        path
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        for (version, expected) in
            [("2.8.0", true), ("2.17.9", true), ("2.18", false), ("2.26.3", false), ("3.0", false), ("pre", false)]
        {
            assert_eq!(is_too_old(version), expected, "{version}");
        }
    }

    #[test]
    fn path_comes_before_the_profiles_and_those_are_told() {
        let scratch = tempfile::tempdir().unwrap();
        let cache = CachePaths::new(scratch.path().join("cache"));
        let (in_path, profile) = (scratch.path().join("bin"), scratch.path().join("profile/bin"));
        let places = Places { path: in_path.clone().into(), profiles: vec!["/nonexistent".into(), profile.clone()] };
        assert_eq!(places.find(), None);
        let second = install(&profile, "nix-build (Nix) 2.26.3");
        let found = places.find().unwrap();
        assert_eq!(found, Program { path: second, is_in_path: false });
        let sink = RecordingSink::default();
        found.check(&cache, &sink).unwrap();
        found.note_place(&sink);
        assert_eq!(sink.notes(), [format!("using the Nix in {}, which is not in PATH", profile.display())]);
        let first = install(&in_path, "nix-build (Lix, like Nix) 2.91.1");
        let found = places.find().unwrap();
        assert_eq!(found, Program { path: first, is_in_path: true });
        assert_eq!(found.known_version(&cache), None);
        found.check(&cache, &Silent).unwrap();
        assert_eq!(found.known_version(&cache).as_deref(), Some("2.91.1"));
    }
}
