//! What Nix says when it fails, as one fault with the next command to type. Pure.
//!
//! Nix has no codes for its errors, only words. Those here are of Nix 2.26 and 2.34, recorded (`recorded/`), and of 2.8.

use std::path::Path;

use model::fault::LogTail;
use model::{Fault, FaultClass};

use super::log_line::name;
use super::program::WITHOUT_NIX;
use super::transcript::{Error, Plan, Transcript};

/// What a failure may concern.
#[derive(Debug, Clone, Copy)]
pub(super) struct Concerns<'a> {
    /// The user's part of the guest.
    pub(super) configuration: &'a Path,
    /// Whether nothing may be fetched.
    pub(super) offline: bool,
}

/// The fault of a run that ended with `code`.
pub(super) fn translate(code: i32, transcript: &Transcript, concerns: Concerns<'_>) -> Fault {
    let errors = transcript.errors();
    let said = errors.iter().map(|error| error.sentence.as_str()).collect::<Vec<_>>().join("\n");
    of_the_host(&said)
        .or_else(|| of_the_sources(&said, concerns))
        .or_else(|| of_a_builder(&said, transcript))
        .or_else(|| of_the_project(&said, errors, concerns))
        .unwrap_or_else(|| {
            let fault = Fault::new(FaultClass::Failed, format!("`nix-build` failed with exit code {code}"));
            let fault = match errors.last() {
                Some(error) => fault.because(&error.sentence),
                None => fault,
            };
            let fault = fault.next("k3s-vm --debug start    # tells the command, to run it by hand").next(WITHOUT_NIX);
            with_log(fault, "output of `nix-build`", transcript.messages())
        })
}

/// The fault of a run that was ended before it compiled most of a system.
pub(super) fn world(plan: Plan, transcript: &Transcript, concerns: Concerns<'_>) -> Fault {
    let what = format!("{} things would have to be compiled for the guest image", plan.builds);
    if concerns.offline {
        return Fault::new(FaultClass::Host, what)
            .because("image.offline is set, and they are not on this machine")
            .next("k3s-vm start --set image.offline=false    # fetches them from Nix's caches")
            .next(WITHOUT_NIX);
    }
    let fault = Fault::new(FaultClass::Host, what).because("no cache of Nix that has them can be reached");
    let fault = transcript.unreachable().iter().fold(fault, Fault::because);
    fault.next(PROXY).next(WITHOUT_NIX)
}

const PROXY: &str =
    "export https_proxy=http://HOST:PORT    # if your network has a proxy; the daemon of Nix needs it, too";

/// What the host lacks, or its Nix.
fn of_the_host(said: &str) -> Option<Fault> {
    let found = |words: &[&str]| words.iter().any(|word| said.contains(word)).then(|| line_with(said, words));
    let host = |what: &str, why: String| Fault::new(FaultClass::Host, what).because(why);
    if let Some(why) = found(&["No space left on device", "database or disk is full"]) {
        return Some(
            host("Nix has no space left for the guest image", why)
                .next("nix-collect-garbage    # removes what nothing uses; `df -h /nix` shows how much there is"),
        );
    }
    if let Some(why) = found(&["cannot connect to socket at"]) {
        return Some(
            host("the daemon of Nix does not answer", why)
                .next("sudo systemctl start nix-daemon    # or as your system starts services")
                .next(WITHOUT_NIX),
        );
    }
    if let Some(why) = found(&["big-lock", "per-user' to 755: Operation not permitted"]) {
        return Some(
            host("this user may not use the store of Nix", why)
                .because("it was installed for one user, who is another, or its daemon does not run")
                .next("sudo systemctl start nix-daemon    # where it was installed for all users")
                .next("ls -ld /nix/store    # shows its owner, where it was installed for one")
                .next(WITHOUT_NIX),
        );
    }
    if let Some(why) = found(&["specified in 'build-users-group' does not exist"]) {
        return Some(
            host("Nix cannot build as root without the users that build", why)
                .next("export NIX_CONFIG='build-users-group ='    # root builds by itself; then run the command again"),
        );
    }
    if let Some(why) = found(&["kernel namespaces that are required for sandboxing"]) {
        return Some(
            host("Nix cannot build in a sandbox here", why)
                .because("most containers forbid it")
                .next("export NIX_CONFIG='sandbox = false'    # then run the command again"),
        );
    }
    if let Some(why) = found(&["experimental Nix feature '", "attribute 'getFlake' missing"]) {
        let fault = host("a feature of Nix is off that the guest's configuration needs", why);
        let step =
            "export NIX_CONFIG='extra-experimental-features = nix-command flakes'    # then run the command again";
        return Some(fault.next(step));
    }
    found(&["is required to build '", "Reason: platform mismatch", "Reason: missing system features"])
        .or_else(|| found(&["Reason: required system or feature not available"]))?;
    let why = said.to_owned();
    Some(match required_features(said) {
        Some(features) => host(&format!("this Nix has no builder with the feature {features}"), why)
            .because("k3s-vm's own guest needs none, so something in .k3s-vm/vm/configuration.nix does")
            .next("take out what needs it, or add a builder that has it: `man nix.conf`, system-features and builders"),
        None => host("this Nix cannot build for the guest's platform", why)
            .next("on macOS add a Linux builder: `nix run nixpkgs#darwin.linux-builder`")
            .next("or a remote one: `man nix.conf`, builders"),
    })
}

/// What should have come from somewhere and did not, or is something else.
fn of_the_sources(said: &str, concerns: Concerns<'_>) -> Option<Fault> {
    if let Some(what) = said.lines().find_map(|line| line.strip_prefix("k3s-vm: ")) {
        let fault = Fault::new(FaultClass::Config, what);
        return Some(if what.contains("no K3s ") {
            fault
                .next("set k3s.version in .k3s-vm/config.toml to one of these, such as \"v1.35\", or leave it out")
                .next("k3s-vm nix update    # pins the newest nixpkgs, which may have it")
        } else {
            fault.next("k3s-vm config show    # tells where each value is from")
        });
    }
    if said.contains("was not found in the Nix search path") {
        let fault = Fault::new(FaultClass::Config, "Nix does not find a nixpkgs by its search path");
        let fault = fault.because(line_with(said, &["was not found in the Nix search path"]));
        return Some(fault.next("name a folder, an address or channel:NAME in image.nixpkgs, or leave it out"));
    }
    if said.contains("hash mismatch in") {
        let mismatch: Vec<&str> = said.lines().skip_while(|line| !line.contains("hash mismatch in")).take(3).collect();
        let fault = Fault::new(FaultClass::Failed, "what Nix fetched is not what was pinned");
        let fault = fault.because(mismatch.join("\n"));
        return Some(fault.next("k3s-vm nix update    # pins the newest nixpkgs, with what it is now"));
    }
    let (address, why) = said.rsplit_once("unable to download '")?.1.split_once("': ")?;
    let why = why.lines().next().unwrap_or_default().trim_end_matches(')');
    let answered = why.contains("HTTP error");
    let class = if answered { FaultClass::Failed } else { FaultClass::Host };
    let fault = Fault::new(class, format!("Nix cannot fetch {address}")).because(why);
    Some(match concerns.offline {
        _ if answered => fault
            .next("correct image.nixpkgs, if that names it")
            .next("k3s-vm nix update    # pins the newest nixpkgs, if the pinned one is gone"),
        true => fault
            .because("image.offline is set, and it is not on this machine")
            .next("k3s-vm start --set image.offline=false"),
        false => fault.next(PROXY).next("k3s-vm start --nixpkgs FOLDER    # a nixpkgs that you have").next(WITHOUT_NIX),
    })
}

/// A builder that failed, with the end of its log.
fn of_a_builder(said: &str, transcript: &Transcript) -> Option<Fault> {
    // "builder for 'D' failed with H" up to 2.26, then "Cannot build 'D'." and "Reason: builder failed with H."
    let (before, after) = said.split_once("builder failed with ").or_else(|| said.split_once("' failed with "))?;
    let derivation = before.split('\'').rfind(|word| word.ends_with(".drv"))?.to_owned();
    let how = after.lines().next().unwrap_or_default().trim_end_matches(['.', ';']);
    let log = transcript.log_of(&derivation);
    let short = name(&derivation).to_owned();
    if let Some(line) = log.iter().find(|line| line.contains("No space left on device")) {
        return of_the_host(line);
    }
    let fault = Fault::new(FaultClass::Failed, format!("the build of {short} failed"))
        .because(format!("its builder ended with {how}"))
        .next(format!("nix-store --read-log {derivation}    # all that it said"));
    Some(with_log(fault, &format!("log of {short}"), log))
}

/// What is in the project: a mistake in the user's part of the guest, a file in the place of the link.
fn of_the_project(said: &str, errors: &[Error], concerns: Concerns<'_>) -> Option<Fault> {
    if let Some((_, link)) = said.split_once("cannot create symlink ")
        && let Some(link) = link.split(['\'', '"']).nth(1)
    {
        let fault = Fault::new(FaultClass::State, format!("{link} is in the way of the link that Nix makes there"));
        let quoted = host::command::quote(link.as_ref());
        return Some(fault.because("it leads to nothing of Nix's store").next(format!("mv {quoted} {quoted}.old")));
    }
    let path = concerns.configuration.display().to_string();
    let error = errors.iter().find(|error| error.whole.contains(&path))?;
    Some(
        Fault::new(FaultClass::Config, format!("{path} has a mistake"))
            .because(&error.sentence)
            .next("correct it, then run the command again"),
    )
}

/// The features that no builder has, where it is for them: between the first braces behind the word.
fn required_features(said: &str) -> Option<String> {
    let features = said.split_once("eatures {").or_else(|| said.split_once("eatures: {"))?.1.split_once('}')?.0;
    (!features.is_empty()).then(|| features.to_owned())
}

/// The line that has one of `words`, without what stands before an inner `error:`.
fn line_with(said: &str, words: &[&str]) -> String {
    let line = said.lines().find(|line| words.iter().any(|word| line.contains(word))).unwrap_or_default();
    line.rsplit_once("error: ").map_or(line, |(_, inner)| inner).to_owned()
}

fn with_log(fault: Fault, source: &str, lines: Vec<String>) -> Fault {
    match lines.is_empty() {
        true => fault,
        false => fault.with_log(LogTail { source: source.to_owned(), lines }),
    }
}

#[cfg(test)]
#[path = "failure_tests.rs"]
mod tests;
