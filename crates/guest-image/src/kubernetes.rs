//! The distribution `kubernetes`: programs that one invocation of Go builds from a module.
//!
//! Go's build cache lets an interrupted build continue where it stopped; the finished programs are a cached part.

mod go_progress;
mod go_toolchain;

use std::path::{Path, PathBuf};

use host::command::Command;
use host::deadline::Deadline;
use model::paths::CachePaths;
use model::requirement::Requirement;
use model::{Error, ErrorClass, Event, EventSink, Result};

use crate::contract::{Contract, GoBuild, filled};
use crate::distribution::{Distribution, Payload, Work};
use crate::fingerprint::Fingerprint;
use crate::request::ImageRequest;
use crate::store::Store;
use go_progress::GoProgress;
use go_toolchain::Go;

/// The task name in events.
const TASK: &str = "kubernetes";

/// Upstream Kubernetes, built from source.
pub(crate) struct Kubernetes {
    directory: PathBuf,
    architecture: &'static str,
    contract: Contract,
    build: GoBuild,
}

impl Kubernetes {
    /// Reads the contract in `sources` (the repository's `guest/`).
    ///
    /// # Errors
    /// A Failed error for a contract that cannot be used.
    pub(crate) fn read(sources: &Path, architecture: &'static str) -> Result<Self> {
        let directory = sources.join("kubernetes");
        let contract = Contract::read(&directory)?;
        let build = contract.build.clone().ok_or_else(|| {
            Error::new(ErrorClass::Failed, format!("{} cannot be used", directory.join("contract.json").display()))
                .because("it has no fields of a build")
        })?;
        Ok(Kubernetes { directory, architecture, contract, build })
    }
}

impl Distribution for Kubernetes {
    fn name(&self) -> &'static str {
        "kubernetes"
    }

    fn contract(&self) -> &Contract {
        &self.contract
    }

    fn directory(&self) -> &Path {
        &self.directory
    }

    fn add_inputs(&self, fingerprint: Fingerprint) -> Fingerprint {
        fingerprint
    }

    fn requirements(&self, cache: &CachePaths) -> Vec<Requirement> {
        let mut requirements = vec![Requirement {
            program: "gcc",
            apt: "build-essential",
            dnf: "gcc",
            pacman: "gcc",
            purpose: "compiles the cluster's database",
        }];
        if go_toolchain::find(&self.build.minimum_go, cache).is_none() {
            requirements.push(go_toolchain::REQUIREMENT);
        }
        requirements
    }

    fn version(&self) -> String {
        self.build.kubernetes_version.clone()
    }

    fn begin<'a>(&'a self, request: &ImageRequest<'a>, store: Store<'a>, deadline: Deadline) -> Result<Work<'a>> {
        let events = request.events;
        let go = go_toolchain::ensure(&self.build.minimum_go, request.cache, deadline, request.consent, events)?;
        Ok(Box::new(move || {
            let key = fingerprint(&self.directory, &self.contract, &self.build, self.architecture)?.key();
            let part = store.ensure(&key, "the programs of Kubernetes", deadline.left(), events, |into| {
                build(into, &self.directory, &self.build, &go, deadline, events)
            })?;
            let bin = programs(&part);
            let seed = self.build.seed.iter().map(|word| filled(word, &bin)).collect();
            Ok(Payload { files: Payload::installed(&self.contract, &bin)?, seed })
        }))
    }
}

/// The fingerprint of the programs: their sources and how they are built. The guest's overlay is not one of the
/// sources.
fn fingerprint(directory: &Path, contract: &Contract, build: &GoBuild, architecture: &str) -> Result<Fingerprint> {
    let overlay = Path::new(&contract.overlay).to_owned();
    let wanted = move |path: &Path| !path.starts_with(&overlay) && is_build_input(path);
    Fingerprint::of("go programs")
        .with("architecture", architecture)
        .with("command", build.command.join("\0"))
        .with("environment", format!("{:?}", build.environment))
        .with("packages", build.packages.join("\0"))
        .with_directory("sources", directory, &wanted)
}

/// Everything but documents, tests and the contract. The contract's build fields are hashed separately.
fn is_build_input(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name != "contract.json" && !name.ends_with(".md") && !name.ends_with("_test.go")
}

/// The directory of the programs in a cached part.
fn programs(part: &Path) -> PathBuf {
    part.join("bin")
}

/// Builds the programs into `into`.
///
/// # Errors
/// The output of the compiler, with the command.
fn build(
    into: &Path,
    directory: &Path,
    build: &GoBuild,
    go: &Go,
    deadline: Deadline,
    events: &dyn EventSink,
) -> Result<()> {
    let bin = programs(into);
    host::files::create_dir(&bin)?;
    let mut progress = GoProgress::new(TASK);
    events.emit(progress.begin());
    // Without a count the progress only lacks a total.
    let stale = stale_packages(directory, build, go).deadline(deadline.left()).run();
    progress.expect(stale.map(|text| text.lines().filter(|line| !line.is_empty()).count()).unwrap_or(0));
    let result = build_command(directory, build, go, &bin)
        .deadline(deadline.left())
        .run_streaming(events, &mut |line| events.emit(progress.take(line)));
    events.emit(Event::TaskFinished { task: TASK.to_owned() });
    result.map_err(|error| {
        error
            .context("the programs of the distribution `kubernetes` cannot be built")
            .next("run the command again: it continues where it stopped")
    })
}

fn build_command(directory: &Path, build: &GoBuild, go: &Go, bin: &Path) -> Command {
    let mut words = build.command.iter().skip(1).map(|word| filled(word, bin));
    let verb = words.next().unwrap_or_else(|| "build".to_owned());
    go_command(directory, build, go).arg(verb).arg("-v").args(words).args(&build.packages)
}

/// Lists the packages that the build will compile. It needs the flags of the build, which decide what is stale.
fn stale_packages(directory: &Path, build: &GoBuild, go: &Go) -> Command {
    let mut flags: Vec<&String> = build.command.iter().skip(2).collect();
    if let Some(output) = flags.iter().position(|flag| *flag == "-o") {
        flags.drain(output..(output + 2).min(flags.len()));
    }
    go_command(directory, build, go)
        .args(["list", "-deps", "-f", "{{if .Stale}}{{.ImportPath}}{{end}}"])
        .args(flags)
        .args(&build.packages)
}

fn go_command(directory: &Path, build: &GoBuild, go: &Go) -> Command {
    let mut command = Command::new(&go.program).current_dir(directory);
    for (name, value) in &build.environment {
        command = command.env(name, value);
    }
    if go.switches { command.env("GOTOOLCHAIN", "auto") } else { command }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guest/kubernetes")
    }

    #[test]
    fn the_command_lines_are_the_contracts() {
        let mut build = Contract::read(&directory()).unwrap().build.unwrap();
        build.packages = vec!["./cmd/one".into(), "example.com/two".into()];
        build.command = ["go", "build", "-trimpath", "-o", "{bin}/"].map(str::to_owned).to_vec();
        build.environment = [("GOGC".to_owned(), "400".to_owned())].into();
        let go = Go { program: "/go/bin/go".into(), switches: true };
        let directory = Path::new("/src");
        insta::assert_snapshot!(build_command(directory, &build, &go, Path::new("/out/bin")).display(), @"(cd /src && GOGC=400 GOTOOLCHAIN=auto /go/bin/go build -v -trimpath -o /out/bin/ ./cmd/one example.com/two)");
        insta::assert_snapshot!(stale_packages(directory, &build, &go).display(), @"(cd /src && GOGC=400 GOTOOLCHAIN=auto /go/bin/go list -deps -f '{{if .Stale}}{{.ImportPath}}{{end}}' -trimpath ./cmd/one example.com/two)");
    }

    #[test]
    fn the_key_depends_on_sources_and_flags_but_not_on_the_overlay_documents_or_tests() {
        let scratch = tempfile::tempdir().unwrap();
        let path = |name: &str| scratch.path().join(name);
        std::fs::create_dir_all(path("rootfs/etc")).unwrap();
        std::fs::write(path("go.mod"), "module m").unwrap();
        std::fs::write(path("main.go"), "package main").unwrap();
        let contract = Contract::read(&directory()).unwrap();
        let build = contract.build.clone().unwrap();
        let key = |build: &GoBuild| fingerprint(scratch.path(), &contract, build, "x86_64").unwrap().key();
        let base = key(&build);
        for name in ["rootfs/etc/hosts", "README.md", "main_test.go", "contract.json"] {
            std::fs::write(path(name), "x").unwrap();
            assert_eq!(key(&build), base, "{name}");
        }
        let mut other = build.clone();
        other.kubernetes_version.push('x');
        other.seed.push("x".into());
        assert_eq!(key(&other), base);
        other.command.push("-race".into());
        assert_ne!(key(&other), base);
        for name in ["main.go", "go.mod", "go.sum", "data.yaml"] {
            let before = key(&build);
            std::fs::write(path(name), "changed").unwrap();
            assert_ne!(key(&build), before, "{name}");
        }
    }
}
