//! The distribution `kubernetes`: its programs, built from a Go module in one invocation.
//!
//! Go's own cache makes an interrupted or repeated build go on where it was; this part keeps the results.

mod go_progress;
pub(crate) mod go_toolchain;

use std::path::{Path, PathBuf};

use host::command::Command;
use model::{Event, EventSink, Result};

use crate::contract::{Contract, filled};
use crate::fingerprint::Fingerprint;
use go_progress::GoProgress;
use go_toolchain::Go;
use host::deadline::Deadline;

/// The task that events name.
const TASK: &str = "kubernetes";

/// What identifies the programs: sources and the way they are built. The overlay of the guest is no source of them.
pub(crate) fn fingerprint(folder: &Path, contract: &Contract, architecture: &str) -> Result<Fingerprint> {
    let overlay = Path::new(&contract.overlay).to_owned();
    let wanted = move |path: &Path| !path.starts_with(&overlay) && is_build_input(path);
    Fingerprint::of("go programs")
        .with("architecture", architecture)
        .with("command", contract.build_command.join("\0"))
        .with("environment", format!("{:?}", contract.build_environment))
        .with("packages", contract.go_packages.join("\0"))
        .with_folder("sources", folder, &wanted)
}

/// Everything but documents, the contract (whose build fields are inputs of their own) and tests.
fn is_build_input(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name != "contract.json" && !name.ends_with(".md") && !name.ends_with("_test.go")
}

/// The folder of programs inside the part.
pub(crate) fn programs(part: &Path) -> PathBuf {
    part.join("bin")
}

/// Builds the programs into `into`.
///
/// # Errors
/// What the compiler said, with the command.
pub(crate) fn build(
    into: &Path,
    folder: &Path,
    contract: &Contract,
    go: &Go,
    deadline: Deadline,
    events: &dyn EventSink,
) -> Result<()> {
    let bin = programs(into);
    host::files::create_dir(&bin)?;
    let mut progress = GoProgress::new(TASK);
    events.emit(progress.begin());
    // Counting is a courtesy: without it the build goes on with a number that has no total.
    let stale = stale_packages(folder, contract, go).deadline(deadline.left()).run();
    progress.expect(stale.map(|text| text.lines().filter(|line| !line.is_empty()).count()).unwrap_or(0));
    let result = build_command(folder, contract, go, &bin)
        .deadline(deadline.left())
        .run_streaming(events, &mut |line| events.emit(progress.take(line)));
    events.emit(Event::TaskFinished { task: TASK.to_owned() });
    result.map_err(|fault| {
        fault
            .context("the programs of the distribution `kubernetes` cannot be built")
            .next("run the command again: it goes on where it stopped")
    })
}

fn build_command(folder: &Path, contract: &Contract, go: &Go, bin: &Path) -> Command {
    let mut words = contract.build_command.iter().skip(1).map(|word| filled(word, bin, Path::new("")));
    let verb = words.next().unwrap_or_else(|| "build".to_owned());
    go_command(folder, contract, go).arg(verb).arg("-v").args(words).args(&contract.go_packages)
}

/// Prints the packages that the build will compile. The flags are the build's, for they decide what is stale.
fn stale_packages(folder: &Path, contract: &Contract, go: &Go) -> Command {
    let mut flags: Vec<&String> = contract.build_command.iter().skip(2).collect();
    if let Some(output) = flags.iter().position(|flag| *flag == "-o") {
        flags.drain(output..(output + 2).min(flags.len()));
    }
    go_command(folder, contract, go)
        .args(["list", "-deps", "-f", "{{if .Stale}}{{.ImportPath}}{{end}}"])
        .args(flags)
        .args(&contract.go_packages)
}

fn go_command(folder: &Path, contract: &Contract, go: &Go) -> Command {
    let mut command = Command::new(&go.program).current_dir(folder);
    for (name, value) in &contract.build_environment {
        command = command.env(name, value);
    }
    if go.switches { command.env("GOTOOLCHAIN", "auto") } else { command }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guest/kubernetes")
    }

    #[test]
    fn the_command_lines_are_the_contracts() {
        let mut contract = Contract::read(&folder()).unwrap();
        contract.go_packages = vec!["./cmd/one".into(), "example.com/two".into()];
        contract.build_command = ["go", "build", "-trimpath", "-o", "{bin}/"].map(str::to_owned).to_vec();
        contract.build_environment = [("GOGC".to_owned(), "400".to_owned())].into();
        let go = Go { program: "/go/bin/go".into(), switches: true };
        let folder = Path::new("/src");
        insta::assert_snapshot!(build_command(folder, &contract, &go, Path::new("/out/bin")).display(), @"(cd /src && GOGC=400 GOTOOLCHAIN=auto /go/bin/go build -v -trimpath -o /out/bin/ ./cmd/one example.com/two)");
        insta::assert_snapshot!(stale_packages(folder, &contract, &go).display(), @"(cd /src && GOGC=400 GOTOOLCHAIN=auto /go/bin/go list -deps -f '{{if .Stale}}{{.ImportPath}}{{end}}' -trimpath ./cmd/one example.com/two)");
    }

    #[test]
    fn the_key_follows_sources_and_flags_but_not_the_overlay_documents_or_tests() {
        let scratch = tempfile::tempdir().unwrap();
        let path = |name: &str| scratch.path().join(name);
        std::fs::create_dir_all(path("rootfs/etc")).unwrap();
        std::fs::write(path("go.mod"), "module m").unwrap();
        std::fs::write(path("main.go"), "package main").unwrap();
        let contract = Contract::read(&folder()).unwrap();
        let key = |contract: &Contract| fingerprint(scratch.path(), contract, "x86_64").unwrap().key();
        let base = key(&contract);
        for name in ["rootfs/etc/hosts", "README.md", "main_test.go", "contract.json"] {
            std::fs::write(path(name), "x").unwrap();
            assert_eq!(key(&contract), base, "{name}");
        }
        let mut other = contract.clone();
        other.debian_packages.push("x".into());
        assert_eq!(key(&other), base);
        other.build_command.push("-race".into());
        assert_ne!(key(&other), base);
        for name in ["main.go", "go.mod", "go.sum", "data.yaml"] {
            let before = key(&contract);
            std::fs::write(path(name), "changed").unwrap();
            assert_ne!(key(&contract), before, "{name}");
        }
    }
}
