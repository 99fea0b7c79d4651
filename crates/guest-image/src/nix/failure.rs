//! Translates Nix's error messages to errors with next steps. Pure.
//!
//! Nix has no error codes, so the messages are matched by their words. These are the words of Nix 2.26 and 2.34
//! (`recorded/`).

use std::path::Path;

use model::error::LogTail;
use model::{Error, ErrorClass};

use super::program::WITHOUT_NIX;

/// How many of the last lines an error has.
const TAIL: usize = 20;
/// How many derivations may be built without a binary cache. A change of the user's configuration needs some tens
/// (files of /etc, units, the initial RAM disk, the guest image); a whole system needs thousands.
const LOCAL_BUILDS: u64 = 100;
const PROXY: &str =
    "export https_proxy=http://HOST:PORT    # if your network has a proxy; the daemon of Nix needs it, too";
const UPDATE: &str = "k3s-vm nix update    # pins the newest nixpkgs, with what it is now";

/// The surroundings of a failed run, for its next steps.
#[derive(Debug, Clone, Copy)]
pub(super) struct Concerns<'a> {
    /// The path of `configuration.nix`.
    pub(super) configuration: &'a Path,
    /// The path of the log file.
    pub(super) log: &'a Path,
    /// Whether nothing may be fetched.
    pub(super) offline: bool,
}

/// A cause that is recognised by words.
struct Cause {
    /// One of these words is enough.
    words: &'static [&'static str],
    class: ErrorClass,
    what: &'static str,
    next: &'static str,
}

const DISK_FULL: Cause = Cause {
    words: &["No space left on device", "database or disk is full"],
    class: ErrorClass::Host,
    what: "Nix has no space left for the guest image",
    next: "nix-collect-garbage    # removes what nothing uses; `df -h /nix` shows how much there is",
};

const CAUSES: [Cause; 9] = [
    Cause {
        words: &["cannot connect to socket at"],
        class: ErrorClass::Host,
        what: "the daemon of Nix does not answer",
        next: "sudo systemctl start nix-daemon    # or as your system starts services",
    },
    Cause {
        words: &["big-lock", "per-user' to 755: Operation not permitted"],
        class: ErrorClass::Host,
        what: "this user may not use the store of Nix: it is another user's, or its daemon does not run",
        next: "sudo systemctl start nix-daemon    # where Nix was installed for all users",
    },
    Cause {
        words: &["specified in 'build-users-group' does not exist"],
        class: ErrorClass::Host,
        what: "Nix cannot build as root without the users that build",
        next: "export NIX_CONFIG='build-users-group ='    # root builds by itself; then run the command again",
    },
    Cause {
        words: &["kernel namespaces that are required for sandboxing"],
        class: ErrorClass::Host,
        what: "Nix cannot build in a sandbox here, which most containers forbid",
        next: "export NIX_CONFIG='sandbox = false'    # then run the command again",
    },
    Cause {
        words: &["experimental Nix feature '", "attribute 'getFlake' missing"],
        class: ErrorClass::Host,
        what: "a feature of Nix is off that the guest's configuration needs",
        next: "export NIX_CONFIG='extra-experimental-features = nix-command flakes'    # then run the command again",
    },
    Cause {
        words: &[
            "is required to build '",
            "Reason: platform mismatch",
            "Reason: missing system features",
            "Reason: required system or feature not available",
        ],
        class: ErrorClass::Host,
        what: "this Nix has no builder for the guest's platform, or for a feature that .k3s-vm/vm/configuration.nix needs",
        next: "man nix.conf    # builders and system-features; on macOS `nix run nixpkgs#darwin.linux-builder` is one",
    },
    Cause {
        words: &["was not found in the Nix search path"],
        class: ErrorClass::Config,
        what: "Nix does not find a nixpkgs by its search path",
        next: "name a directory, an address or channel:NAME in image.nixpkgs, or leave it out",
    },
    Cause {
        words: &["hash mismatch in"],
        class: ErrorClass::Failed,
        what: "what Nix fetched is not what was pinned",
        next: UPDATE,
    },
    Cause {
        words: &["cannot create symlink"],
        class: ErrorClass::State,
        what: "something is in the way of the link that Nix makes to the guest image",
        next: "move it away, then run the command again",
    },
];

/// The error of a run that ended with exit code `code` and whose last lines were `lines`.
pub(super) fn translate(code: i32, lines: &[String], concerns: Concerns<'_>) -> Error {
    let lines_of_nix = lines.iter().map(|line| line.trim()).filter(|line| !is_source(line));
    let errors = errors(lines);
    let error = by_words(lines_of_nix, &DISK_FULL)
        .or_else(|| of_the_guest(&errors))
        .or_else(|| CAUSES.iter().find_map(|cause| by_words(errors.iter().copied(), cause)))
        .or_else(|| of_a_builder(&errors))
        .or_else(|| of_a_download(&errors, concerns.offline))
        .or_else(|| of_the_configuration(&errors, concerns.configuration))
        .unwrap_or_else(|| {
            let error = Error::new(ErrorClass::Failed, format!("`nix-build` failed with exit code {code}"));
            if errors.is_empty() { error } else { error.because(sentence(&errors)) }
        });
    let error =
        error.next(format!("less {}    # the whole output of Nix", host::command::quote(concerns.log.as_os_str())));
    let error = if error.class() == ErrorClass::Config { error } else { error.next(WITHOUT_NIX) };
    with_log(error, lines, concerns.log)
}

/// Adds the last lines of the output to an error.
pub(super) fn with_log(error: Error, lines: &[String], log: &Path) -> Error {
    let lines = lines[lines.len().saturating_sub(TAIL)..].to_vec();
    if lines.is_empty() { error } else { error.with_log(LogTail { source: log.display().to_string(), lines }) }
}

/// The lines from the first error on, without excerpts of sources and of builders' logs, which may contain any words.
fn errors(lines: &[String]) -> Vec<&str> {
    let begin = lines.iter().position(|line| line.starts_with("error:")).unwrap_or(lines.len());
    lines[begin..].iter().map(|line| line.trim()).filter(|line| !line.starts_with('>') && !is_source(line)).collect()
}

/// Whether a line is an excerpt of a source: `12|  text` or `|  ^`.
fn is_source(line: &str) -> bool {
    line.trim_start_matches(|letter: char| letter.is_ascii_digit()).starts_with('|')
}

/// The last error, without its trace.
fn sentence(errors: &[&str]) -> String {
    let begin = errors.iter().rposition(|line| line.starts_with("error:")).unwrap_or(0);
    let told: Vec<&str> = errors[begin..].iter().take_while(|line| !line.starts_with('…')).copied().collect();
    told.join("\n").trim_start_matches("error:").trim().to_owned()
}

fn by_words<'a>(mut lines: impl Iterator<Item = &'a str>, cause: &Cause) -> Option<Error> {
    let line = lines.find(|line| cause.words.iter().any(|word| line.contains(word)))?;
    let why = line.trim().trim_start_matches("error:").trim();
    Some(Error::new(cause.class, cause.what).because(why).next(cause.next))
}

/// An error that `guest/nixos` itself raises about the configuration.
fn of_the_guest(errors: &[&str]) -> Option<Error> {
    let what = errors.iter().find_map(|line| line.strip_prefix("error: k3s-vm: "))?;
    let error = Error::new(ErrorClass::Config, what);
    Some(if what.contains("no K3s ") {
        error
            .next("set k3s.version in .k3s-vm/config.toml to one of these, such as \"v1.35\", or leave it out")
            .next("k3s-vm nix update    # pins the newest nixpkgs, which may have it")
    } else {
        error.next("k3s-vm config show    # shows where each value comes from")
    })
}

/// The first builder that failed: "builder for 'D' failed with H" or, in newer versions, "Cannot build 'D'." before
/// "Reason: builder failed with H.".
fn of_a_builder(errors: &[&str]) -> Option<Error> {
    let place = errors.iter().position(|line| line.contains("builder f") && line.contains("failed with "))?;
    let derivation = errors[..=place].iter().rev().flat_map(|line| line.split('\'')).find(|it| it.ends_with(".drv"))?;
    let file = derivation.rsplit('/').next().unwrap_or(derivation).trim_end_matches(".drv");
    // `/nix/store/HASH-NAME.drv`
    let name = file.split_once('-').filter(|(hash, _)| hash.len() == 32).map_or(file, |(_, name)| name);
    let how = errors[place].split_once("failed with ")?.1.trim_end_matches(['.', ';']);
    let error = Error::new(ErrorClass::Failed, format!("the build of {name} failed"));
    let error = error.because(format!("its builder ended with {how}"));
    Some(error.next(format!("nix-store --read-log {derivation}    # its whole output")))
}

fn of_a_download(errors: &[&str], offline: bool) -> Option<Error> {
    let (address, why) = errors.iter().find_map(|line| line.split_once("unable to download '")?.1.split_once("': "))?;
    let answered = why.contains("HTTP error");
    let class = if answered { ErrorClass::Failed } else { ErrorClass::Host };
    let error = Error::new(class, format!("Nix cannot fetch {address}")).because(why.trim_end_matches(')'));
    Some(match offline {
        _ if answered => error.next("correct image.nixpkgs, if that names it").next(UPDATE),
        true => error.because("image.offline is set, and it is not on this machine").next(ONLINE),
        false => error.next(PROXY).next("k3s-vm start --nixpkgs DIRECTORY    # a nixpkgs that you have"),
    })
}

const ONLINE: &str = "k3s-vm start --set image.offline=false    # fetches it";

fn of_the_configuration(errors: &[&str], configuration: &Path) -> Option<Error> {
    let path = configuration.display().to_string();
    errors.iter().find(|line| line.contains(&path))?;
    let error = Error::new(ErrorClass::Config, format!("{path} has a mistake")).because(sentence(errors));
    Some(error.next("correct it, then run the command again"))
}

/// What Nix announced to build and to fetch, and whether a binary cache is unreachable.
#[derive(Debug, Default)]
pub(super) struct Announced {
    builds: u64,
    fetches: u64,
    /// The cache that did not answer, and why.
    unreachable: Option<String>,
}

impl Announced {
    /// Reads a line. Returns an error if Nix starts to compile most of a system, since no cache has it: that takes
    /// hours.
    pub(super) fn take(&mut self, line: &str, offline: bool) -> Option<Error> {
        let count = || line.split(' ').nth(1)?.parse().ok();
        if line.starts_with("these ") && line.contains(" will be built") {
            self.builds = count().unwrap_or(0);
        } else if line.starts_with("these ") && line.contains(" will be fetched") {
            self.fetches = count().unwrap_or(0);
        } else if let Some((cache, why)) = line.split_once("/nix-cache-info': ")
            && !why.contains("; retrying in ")
        {
            let cache = cache.rsplit('\'').next().unwrap_or(cache);
            self.unreachable = Some(format!("{cache}: {why}"));
        }
        let begins = line.starts_with("building '") && (offline || self.unreachable.is_some());
        (begins && self.builds > LOCAL_BUILDS && self.fetches < self.builds).then(|| self.world(offline))
    }

    fn world(&self, offline: bool) -> Error {
        let what = format!("{} derivations would have to be compiled for the guest image", self.builds);
        let error = Error::new(ErrorClass::Host, what);
        let error = if offline {
            error.because("image.offline is set, and they are not on this machine").next(ONLINE)
        } else {
            let error = error.because("no binary cache of Nix that has them can be reached").next(PROXY);
            self.unreachable.iter().fold(error, Error::because)
        };
        error.next(WITHOUT_NIX)
    }
}

#[cfg(test)]
#[path = "failure_tests.rs"]
mod tests;
