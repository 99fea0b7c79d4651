//! The program as scripts see it: exit codes, what goes to stdout and what to stderr, flags from the environment.
//! Nothing here starts a VM.
#![allow(clippy::unwrap_used)]

mod config;
mod documents;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The result of a run.
struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// A directory with or without a project, and an empty home.
struct Place(tempfile::TempDir);

impl Place {
    fn empty() -> Self {
        let place = Place(tempfile::tempdir().unwrap());
        fs::create_dir(place.path("sub")).unwrap();
        place
    }

    fn project() -> Self {
        let place = Place::empty();
        fs::create_dir_all(place.path(".k3s-vm/manifests")).unwrap();
        fs::write(place.path(".env"), "WEB_PORT=30080\n").unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_k3s-vm"));
        command
            .args(arguments)
            .current_dir(self.path("sub"))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.path("home"))
            .env("K3S_VM_HOME", Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
            .env("K3S_VM_PROGRAM", "bin/k3s-vm")
            .stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Run {
        self.finish(&mut self.command(arguments))
    }

    fn finish(&self, command: &mut Command) -> Run {
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| {
            let here = fs::canonicalize(self.0.path()).unwrap();
            String::from_utf8(bytes).unwrap().replace(here.to_str().unwrap(), "[PLACE]")
        };
        Run { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

#[test]
fn help_and_version_are_results() {
    let place = Place::empty();
    for arguments in [&["--help"][..], &["-h"], &["--version"], &["start", "--help"]] {
        let run = place.run(arguments);
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{arguments:?}");
        assert!(!run.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn wrong_usage_is_reported_on_stderr() {
    let run = Place::empty().run(&["rest"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""));
    assert!(run.stderr.contains("'reset'"), "{}", run.stderr);
}

#[test]
fn outside_of_a_project_every_verb_says_so() {
    let place = Place::empty();
    for verb in
        [&[][..], &["stop"], &["status"], &["ssh"], &["reset"], &["apply"], &["logs"], &["kubectl", "get", "pods"]]
    {
        let run = place.run(verb);
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{verb:?}");
        assert!(run.stderr.starts_with("Error: no project at [PLACE]/sub or above it\n"), "{verb:?}: {}", run.stderr);
    }
    insta::assert_snapshot!(place.run(&[]).stderr, @r"
    Error: no project at [PLACE]/sub or above it
      a project is a directory that holds `.k3s-vm/`

    Next: cd to the project, or name it with --project DIR
    Next: mkdir -p .k3s-vm/manifests    # makes this directory a project
    ");
}

#[test]
fn the_project_is_found_upwards_or_named() {
    let project = Place::project();
    let elsewhere = Place::empty();
    let named = project.path("");
    let named = named.to_str().unwrap();
    for run in [
        project.run(&["status"]),
        elsewhere.run(&["--project", named, "status"]),
        elsewhere.run(&["status", "--project", named]),
        elsewhere.finish(elsewhere.command(&["status"]).env("K3S_VM_PROJECT", named)),
    ] {
        assert_eq!(run.code, Some(0), "{}", run.stderr);
    }
}

/// A status without the processes of this machine that are in the way of the project.
fn about_itself(status: &str) -> &str {
    status.split("\nIn the way:").next().unwrap()
}

#[test]
fn the_status_of_a_project_without_a_vm() {
    let project = Place::project();
    let run = project.run(&["status"]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    insta::assert_snapshot!(about_itself(&run.stdout), @r"
    Instance  k3s-vm
    Project   [PLACE]
    State     not created yet
    Next      bin/k3s-vm start
    ");
    let run = project.run(&["status", "-o", "json"]);
    let status: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(status["state"], "absent");
}

#[test]
fn stop_without_a_vm_is_success() {
    let run = Place::project().run(&["stop"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), ""));
    let line = run.stderr.lines().next().unwrap();
    assert_eq!(line, "[1/1] Stopping the VM … skipped: it is not running");
}

#[test]
fn verbs_that_need_a_vm_refuse_with_the_next_command() {
    let project = Place::project();
    for verb in [&["ssh"][..], &["logs"], &["apply"], &["kubectl", "get", "pods"], &["load", "/nonexistent.tar"]] {
        let run = project.run(verb);
        assert_eq!((run.code, run.stdout.as_str()), (Some(3), ""), "{verb:?}: {}", run.stderr);
        assert!(run.stderr.contains("Next: bin/k3s-vm start\n"), "{verb:?}: {}", run.stderr);
    }
}

#[test]
fn all_mistakes_of_the_configuration_are_reported_at_once() {
    let project = Place::project();
    fs::write(project.path(".env"), "WEB_PORT=0\n").unwrap();
    fs::write(project.path(".k3s-vm/config.toml"), "[ports]\napi = 0\nssh = 99999\n").unwrap();
    let run = project.run(&[]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""));
    insta::assert_snapshot!(run.stderr, @r"
    Error: the configuration has 3 mistakes
      .k3s-vm/config.toml:2: ports.api = 0: not a port (1 to 65535)
      .k3s-vm/config.toml:3: ports.ssh = 99999: not a port (1 to 65535)
      WEB_PORT=0 in .env: not a port (1 to 65535)

    Next: correct it where it stands, then run the command again
    ");
}

#[test]
fn events_for_programs_end_with_the_error() {
    let project = Place::project();
    let run = project.finish(project.command(&["logs"]).env("K3S_VM_EVENTS", "json"));
    let last: serde_json::Value = serde_json::from_str(run.stderr.lines().last().unwrap()).unwrap();
    assert_eq!(last["event"], "error");
    assert_eq!((last["class"].as_str(), last["exit_code"].as_i64()), (Some("state"), Some(3)));
    assert_eq!(run.code, Some(3));
}

#[test]
fn switches_of_the_environment_can_be_off() {
    let project = Place::project();
    for (value, quiet) in [("1", true), ("true", true), ("0", false), ("false", false), ("", false)] {
        let run = project.finish(project.command(&["stop"]).env("K3S_VM_QUIET", value));
        assert_eq!(run.stderr.is_empty(), quiet, "{value:?}: {}", run.stderr);
    }
}

#[test]
fn colors_are_for_terminals_unless_forced() {
    let project = Place::project();
    assert!(!project.run(&["logs"]).stderr.contains('\x1b'));
    assert!(project.run(&["logs", "--color", "always"]).stderr.contains('\x1b'));
}
