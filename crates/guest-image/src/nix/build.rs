//! Runs `nix-build`: its arguments, its last line as progress, its output in a log file, its result as a path or an
//! error.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use host::command::Command;
use host::files;
use host::io_error::at_path;
use model::config::Nixpkgs;
use model::paths::ProjectPaths;
use model::{Error, ErrorClass, Event, EventSink, Result};

use super::failure::{self, Announced, Concerns};
use super::program::Program;
use super::settings;

/// What `nix --offline` sets, for programs without that flag: no caches, no updates of archives, short timeouts.
const OFFLINE: [(&str, &str); 4] =
    [("substitute", "false"), ("tarball-ttl", "4294967295"), ("download-attempts", "1"), ("connect-timeout", "1")];
/// The task name in events.
const TASK: &str = "image";
/// How many of the last lines are searched for the cause of a failure.
const MOST_LINES: usize = 500;

/// A run of `nix-build`.
pub(super) struct Build<'a> {
    /// The host's Nix.
    pub(super) program: &'a Program,
    /// `guest/nixos/default.nix`.
    pub(super) entry: &'a Path,
    /// The project.
    pub(super) project: &'a ProjectPaths,
    /// A nixpkgs to use instead of the pinned one.
    pub(super) nixpkgs: Option<&'a Nixpkgs>,
    /// Whether nothing may be fetched.
    pub(super) offline: bool,
    /// Whether archives without a digest are fetched again.
    pub(super) refresh: bool,
    /// How long the build may take.
    pub(super) deadline: Duration,
    /// Receives progress.
    pub(super) events: &'a dyn EventSink,
}

impl Build<'_> {
    /// The command line.
    pub(super) fn command(&self) -> Command {
        let mut words: Vec<OsString> = vec![self.entry.into(), "-A".into(), "image".into()];
        for (name, path) in
            [("settings", self.project.nix_settings()), ("configuration", self.project.nix_configuration())]
        {
            words.extend(["--argstr".into(), name.into(), path.into()]);
        }
        if let Some(nixpkgs) = self.nixpkgs {
            words.extend(settings::nixpkgs_arguments(nixpkgs, self.project.root()));
        }
        words.extend(["--out-link".into(), self.project.nix_result().into()]);
        let offline = if self.offline { &OFFLINE[..] } else { &[] };
        let refresh = if self.refresh && !self.offline { &[("tarball-ttl", "0")][..] } else { &[] };
        for (name, value) in offline.iter().chain(refresh) {
            words.extend(["--option".into(), name.into(), value.into()]);
        }
        let command = Command::new(&self.program.path).args(words).deadline(self.deadline);
        match self.program.path.parent() {
            // It finds other programs of Nix in PATH.
            Some(directory) if !self.program.is_in_path => {
                let mut path = directory.as_os_str().to_owned();
                path.push(":");
                path.push(std::env::var_os("PATH").unwrap_or_default());
                command.env("PATH", path)
            }
            _ => command,
        }
    }

    /// Builds the guest image and returns its path in Nix's store. Nix creates the link to it at the end.
    ///
    /// # Errors
    /// Those of [`failure`]; Timeout and Interrupted as of every command.
    pub(super) fn run(&self) -> Result<PathBuf> {
        let (configuration, log) = (self.project.nix_configuration(), self.project.nix_build_log());
        let concerns = Concerns { configuration: &configuration, log: &log, offline: self.offline };
        let mut output = new_log(&log)?;
        let (mut announced, mut last) = (Announced::default(), VecDeque::new());
        // Evaluating the modules takes seconds and is silent.
        self.events.progress(TASK, "evaluating the configuration".to_owned());
        let ended = self.command().follow(self.events, &mut |line| {
            // The build does not fail for a log that cannot be written.
            let _ = writeln!(output, "{line}");
            if !line.trim().is_empty() {
                self.events.progress(TASK, line.trim().to_owned());
                if last.len() == MOST_LINES {
                    last.pop_front();
                }
                last.push_back(line.to_owned());
            }
            announced.take(line, self.offline).map_or(Ok(()), Err)
        });
        let _ = output.flush();
        self.events.emit(Event::TaskFinished { task: TASK.to_owned() });
        let last: Vec<String> = last.into();
        match ended {
            Ok((0, stdout)) => {
                stdout.lines().last().map(PathBuf::from).filter(|path| path.is_absolute()).ok_or_else(|| {
                    Error::new(ErrorClass::Failed, "`nix-build` did not print the path of the guest image")
                        .because(format!("it printed {stdout:?}"))
                })
            }
            Ok((code, _)) => Err(failure::translate(code, &last, concerns)),
            Err(error) if error.class() == ErrorClass::Timeout => Err(failure::with_log(error, &last, &log)),
            Err(error) => Err(error),
        }
    }
}

/// Creates the log file of a build. It replaces that of the previous build.
fn new_log(path: &Path) -> Result<BufWriter<File>> {
    files::remove(path)?;
    let file = File::options().write(true).create_new(true).mode(0o600).open(path);
    file.map(BufWriter::new).map_err(|error| at_path("create", path, &error))
}

#[cfg(test)]
mod tests {
    use model::event::Silent;

    use super::*;

    #[test]
    fn the_command_lines() {
        let program = Program { path: "/usr/bin/nix-build".into(), is_in_path: true };
        let project = ProjectPaths::new("/my project");
        let plain = Build {
            program: &program,
            entry: Path::new("/guest/nixos/default.nix"),
            project: &project,
            nixpkgs: None,
            offline: false,
            refresh: false,
            deadline: Duration::from_secs(1),
            events: &Silent,
        };
        insta::assert_snapshot!(plain.command().display(), @"/usr/bin/nix-build /guest/nixos/default.nix -A image --argstr settings '/my project/.k3s-vm/vm/settings.json' --argstr configuration '/my project/.k3s-vm/vm/configuration.nix' --out-link '/my project/.k3s-vm/vm/result'");
        let nixpkgs = Nixpkgs::Channel("nixos-26.05".to_owned());
        insta::assert_snapshot!(Build { nixpkgs: Some(&nixpkgs), refresh: true, ..plain }.command().display(), @r#"/usr/bin/nix-build /guest/nixos/default.nix -A image --argstr settings '/my project/.k3s-vm/vm/settings.json' --argstr configuration '/my project/.k3s-vm/vm/configuration.nix' --arg nixpkgs '(fetchTarball "https://channels.nixos.org/nixos-26.05/nixexprs.tar.xz")' --out-link '/my project/.k3s-vm/vm/result' --option tarball-ttl 0"#);
        let profile = Program { path: "/profile/bin/nix-build".into(), is_in_path: false };
        let directory = Nixpkgs::Directory("../nixpkgs".to_owned());
        let offline = Build { program: &profile, nixpkgs: Some(&directory), offline: true, ..plain };
        let shown = offline.command().display();
        let (path, rest) = shown.split_once(" /profile").unwrap();
        assert!(path.starts_with("PATH=") && path.contains("/profile/bin:"), "{path}");
        insta::assert_snapshot!(rest, @"/bin/nix-build /guest/nixos/default.nix -A image --argstr settings '/my project/.k3s-vm/vm/settings.json' --argstr configuration '/my project/.k3s-vm/vm/configuration.nix' --argstr nixpkgs '/my project/../nixpkgs' --out-link '/my project/.k3s-vm/vm/result' --option substitute false --option tarball-ttl 4294967295 --option download-attempts 1 --option connect-timeout 1");
    }
}
