//! What Nix says when it fails, as one fault with the next command to type. Pure.
//!
//! Nix has no codes for its errors, only words. Those here are of Nix 2.26 and 2.34 (`recorded/`).

use std::path::Path;

use model::fault::LogTail;
use model::{Fault, FaultClass};

use super::program::WITHOUT_NIX;

/// How many lines go with a fault.
const TAIL: usize = 20;
/// So many derivations may be built without a cache. A change of the user's configuration takes some tens (files of
/// /etc, units, the initial RAM disk, the image); a system without any cache takes thousands.
const LOCAL_BUILDS: u64 = 100;
const PROXY: &str =
    "export https_proxy=http://HOST:PORT    # if your network has a proxy; the daemon of Nix needs it, too";
const UPDATE: &str = "k3s-vm nix update    # pins the newest nixpkgs, with what it is now";

/// What a failure may concern.
#[derive(Debug, Clone, Copy)]
pub(super) struct Concerns<'a> {
    /// The user's part of the guest.
    pub(super) configuration: &'a Path,
    /// Where all is that Nix said.
    pub(super) log: &'a Path,
    /// Whether nothing may be fetched.
    pub(super) offline: bool,
}

/// A failure that is known by its words.
struct Cause {
    /// Any of them tells it.
    words: &'static [&'static str],
    class: FaultClass,
    what: &'static str,
    next: &'static str,
}

const DISK_FULL: Cause = Cause {
    words: &["No space left on device", "database or disk is full"],
    class: FaultClass::Host,
    what: "Nix has no space left for the guest image",
    next: "nix-collect-garbage    # removes what nothing uses; `df -h /nix` shows how much there is",
};

const CAUSES: [Cause; 9] = [
    Cause {
        words: &["cannot connect to socket at"],
        class: FaultClass::Host,
        what: "the daemon of Nix does not answer",
        next: "sudo systemctl start nix-daemon    # or as your system starts services",
    },
    Cause {
        words: &["big-lock", "per-user' to 755: Operation not permitted"],
        class: FaultClass::Host,
        what: "this user may not use the store of Nix: it is another user's, or its daemon does not run",
        next: "sudo systemctl start nix-daemon    # where Nix was installed for all users",
    },
    Cause {
        words: &["specified in 'build-users-group' does not exist"],
        class: FaultClass::Host,
        what: "Nix cannot build as root without the users that build",
        next: "export NIX_CONFIG='build-users-group ='    # root builds by itself; then run the command again",
    },
    Cause {
        words: &["kernel namespaces that are required for sandboxing"],
        class: FaultClass::Host,
        what: "Nix cannot build in a sandbox here, which most containers forbid",
        next: "export NIX_CONFIG='sandbox = false'    # then run the command again",
    },
    Cause {
        words: &["experimental Nix feature '", "attribute 'getFlake' missing"],
        class: FaultClass::Host,
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
        class: FaultClass::Host,
        what: "this Nix has no builder for the guest's platform, or for a feature that .k3s-vm/vm/configuration.nix needs",
        next: "man nix.conf    # builders and system-features; on macOS `nix run nixpkgs#darwin.linux-builder` is one",
    },
    Cause {
        words: &["was not found in the Nix search path"],
        class: FaultClass::Config,
        what: "Nix does not find a nixpkgs by its search path",
        next: "name a folder, an address or channel:NAME in image.nixpkgs, or leave it out",
    },
    Cause {
        words: &["hash mismatch in"],
        class: FaultClass::Failed,
        what: "what Nix fetched is not what was pinned",
        next: UPDATE,
    },
    Cause {
        words: &["cannot create symlink"],
        class: FaultClass::State,
        what: "something is in the way of the link that Nix makes to the guest image",
        next: "move it away, then run the command again",
    },
];

/// The fault of a run that ended with `code` and said `lines` at its end.
pub(super) fn translate(code: i32, lines: &[String], concerns: Concerns<'_>) -> Fault {
    let lines_of_nix = lines.iter().map(|line| line.trim()).filter(|line| !is_source(line));
    let errors = errors(lines);
    let fault = by_words(lines_of_nix, &DISK_FULL)
        .or_else(|| of_the_guest(&errors))
        .or_else(|| CAUSES.iter().find_map(|cause| by_words(errors.iter().copied(), cause)))
        .or_else(|| of_a_builder(&errors))
        .or_else(|| of_a_download(&errors, concerns.offline))
        .or_else(|| of_the_configuration(&errors, concerns.configuration))
        .unwrap_or_else(|| {
            let fault = Fault::new(FaultClass::Failed, format!("`nix-build` failed with exit code {code}"));
            if errors.is_empty() { fault } else { fault.because(sentence(&errors)) }
        });
    let fault = fault.next(format!("less {}    # all that Nix said", host::command::quote(concerns.log.as_os_str())));
    let fault = if fault.class() == FaultClass::Config { fault } else { fault.next(WITHOUT_NIX) };
    with_log(fault, lines, concerns.log)
}

/// Adds the last lines.
pub(super) fn with_log(fault: Fault, lines: &[String], log: &Path) -> Fault {
    let lines = lines[lines.len().saturating_sub(TAIL)..].to_vec();
    if lines.is_empty() { fault } else { fault.with_log(LogTail { source: log.display().to_string(), lines }) }
}

/// The lines from the first error on, without excerpts of sources and of builders' logs, which may have any word.
fn errors(lines: &[String]) -> Vec<&str> {
    let begin = lines.iter().position(|line| line.starts_with("error:")).unwrap_or(lines.len());
    lines[begin..].iter().map(|line| line.trim()).filter(|line| !line.starts_with('>') && !is_source(line)).collect()
}

/// `12|  text` and `|  ^`, as Nix shows sources.
fn is_source(line: &str) -> bool {
    line.trim_start_matches(|letter: char| letter.is_ascii_digit()).starts_with('|')
}

/// The last error, without the trace that led there.
fn sentence(errors: &[&str]) -> String {
    let begin = errors.iter().rposition(|line| line.starts_with("error:")).unwrap_or(0);
    let told: Vec<&str> = errors[begin..].iter().take_while(|line| !line.starts_with('…')).copied().collect();
    told.join("\n").trim_start_matches("error:").trim().to_owned()
}

fn by_words<'a>(mut lines: impl Iterator<Item = &'a str>, cause: &Cause) -> Option<Fault> {
    let line = lines.find(|line| cause.words.iter().any(|word| line.contains(word)))?;
    let why = line.trim().trim_start_matches("error:").trim();
    Some(Fault::new(cause.class, cause.what).because(why).next(cause.next))
}

/// What `guest/nixos` itself says of the configuration.
fn of_the_guest(errors: &[&str]) -> Option<Fault> {
    let what = errors.iter().find_map(|line| line.strip_prefix("error: k3s-vm: "))?;
    let fault = Fault::new(FaultClass::Config, what);
    Some(if what.contains("no K3s ") {
        fault
            .next("set k3s.version in .k3s-vm/config.toml to one of these, such as \"v1.35\", or leave it out")
            .next("k3s-vm nix update    # pins the newest nixpkgs, which may have it")
    } else {
        fault.next("k3s-vm config show    # tells where each value is from")
    })
}

/// The first builder that failed: "builder for 'D' failed with H", and "Cannot build 'D'." before "Reason: builder
/// failed with H." of newer ones.
fn of_a_builder(errors: &[&str]) -> Option<Fault> {
    let place = errors.iter().position(|line| line.contains("builder f") && line.contains("failed with "))?;
    let derivation = errors[..=place].iter().rev().flat_map(|line| line.split('\'')).find(|it| it.ends_with(".drv"))?;
    let file = derivation.rsplit('/').next().unwrap_or(derivation).trim_end_matches(".drv");
    // `/nix/store/HASH-NAME.drv`
    let name = file.split_once('-').filter(|(hash, _)| hash.len() == 32).map_or(file, |(_, name)| name);
    let how = errors[place].split_once("failed with ")?.1.trim_end_matches(['.', ';']);
    let fault = Fault::new(FaultClass::Failed, format!("the build of {name} failed"));
    let fault = fault.because(format!("its builder ended with {how}"));
    Some(fault.next(format!("nix-store --read-log {derivation}    # all that it said")))
}

fn of_a_download(errors: &[&str], offline: bool) -> Option<Fault> {
    let (address, why) = errors.iter().find_map(|line| line.split_once("unable to download '")?.1.split_once("': "))?;
    let answered = why.contains("HTTP error");
    let class = if answered { FaultClass::Failed } else { FaultClass::Host };
    let fault = Fault::new(class, format!("Nix cannot fetch {address}")).because(why.trim_end_matches(')'));
    Some(match offline {
        _ if answered => fault.next("correct image.nixpkgs, if that names it").next(UPDATE),
        true => fault.because("image.offline is set, and it is not on this machine").next(ONLINE),
        false => fault.next(PROXY).next("k3s-vm start --nixpkgs FOLDER    # a nixpkgs that you have"),
    })
}

const ONLINE: &str = "k3s-vm start --set image.offline=false    # fetches it";

fn of_the_configuration(errors: &[&str], configuration: &Path) -> Option<Fault> {
    let path = configuration.display().to_string();
    errors.iter().find(|line| line.contains(&path))?;
    let fault = Fault::new(FaultClass::Config, format!("{path} has a mistake")).because(sentence(errors));
    Some(fault.next("correct it, then run the command again"))
}

/// What Nix announced to do, and whether it found a cache.
#[derive(Debug, Default)]
pub(super) struct Announced {
    builds: u64,
    fetches: u64,
    /// The cache that did not answer, with the reason.
    unreachable: Option<String>,
}

impl Announced {
    /// Takes a line. A fault where Nix now begins to compile most of a system, which takes hours, since nothing brings it.
    pub(super) fn take(&mut self, line: &str, offline: bool) -> Option<Fault> {
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

    fn world(&self, offline: bool) -> Fault {
        let what = format!("{} things would have to be compiled for the guest image", self.builds);
        let fault = Fault::new(FaultClass::Host, what);
        let fault = if offline {
            fault.because("image.offline is set, and they are not on this machine").next(ONLINE)
        } else {
            let fault = fault.because("no cache of Nix that has them can be reached").next(PROXY);
            self.unreachable.iter().fold(fault, Fault::because)
        };
        fault.next(WITHOUT_NIX)
    }
}

#[cfg(test)]
#[path = "failure_tests.rs"]
mod tests;
