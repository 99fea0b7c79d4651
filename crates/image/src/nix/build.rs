//! One run of `nix-build`: its arguments, its progress as events, its end as a path or a fault.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use host::command::Command;
use model::config::Nixpkgs;
use model::paths::ProjectPaths;
use model::{Event, EventSink, Fault, FaultClass, Result};

use super::failure::{self, Concerns};
use super::log_line::{Activity, LogLine, News};
use super::program::Program;
use super::progress::{BUILD, FETCH, Progress};
use super::settings;
use super::transcript::Transcript;

/// How often bytes that arrive are told; Nix counts them many times a second.
const INTERVAL: Duration = Duration::from_millis(200);
/// What `nix --offline` sets, for the programs that lack that flag: no caches, no new look at archives, no patience.
const OFFLINE: [(&str, &str); 4] =
    [("substitute", "false"), ("tarball-ttl", "4294967295"), ("download-attempts", "1"), ("connect-timeout", "1")];

/// What to build, and how.
pub(super) struct Build<'a> {
    /// The host's Nix.
    pub(super) program: &'a Program,
    /// `guest/nixos/default.nix`.
    pub(super) entry: &'a Path,
    /// The project.
    pub(super) project: &'a ProjectPaths,
    /// Another nixpkgs than the pinned one.
    pub(super) nixpkgs: Option<&'a Nixpkgs>,
    /// Whether nothing may be fetched.
    pub(super) offline: bool,
    /// Whether archives without a digest are looked at anew, though they are there.
    pub(super) refresh: bool,
    /// How long it may take.
    pub(super) deadline: Duration,
    /// Who is told.
    pub(super) events: &'a dyn EventSink,
}

impl Build<'_> {
    /// The command.
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
        words.extend(["--log-format".into(), "internal-json".into()]);
        let offline = if self.offline { &OFFLINE[..] } else { &[] };
        let refresh = if self.refresh && !self.offline { &[("tarball-ttl", "0")][..] } else { &[] };
        for (name, value) in offline.iter().chain(refresh) {
            words.extend(["--option".into(), name.into(), value.into()]);
        }
        let command = Command::new(&self.program.path).args(words).deadline(self.deadline);
        match self.program.path.parent() {
            // It calls other programs of Nix by their names.
            Some(folder) if !self.program.is_in_path => {
                let mut path = folder.as_os_str().to_owned();
                path.push(":");
                path.push(std::env::var_os("PATH").unwrap_or_default());
                command.env("PATH", path)
            }
            _ => command,
        }
    }

    /// Builds; the path of the image in Nix's store. The link to it is made by Nix when all is done.
    ///
    /// # Errors
    /// What Nix could not do, in words of [`failure`]; Timeout and Interrupted as of every command.
    pub(super) fn run(&self) -> Result<PathBuf> {
        let configuration = self.project.nix_configuration();
        let concerns = Concerns { configuration: &configuration, offline: self.offline };
        let (mut progress, mut transcript) = (Progress::default(), Transcript::default());
        let mut told: Option<Instant> = None;
        self.events.emit(Progress::begin());
        let ended = self.command().follow(self.events, &mut |line| {
            let line = LogLine::parse(line);
            if let LogLine::Message(text) = &line {
                self.events.debug(format!("nix: {text}"));
            }
            transcript.take(&line);
            if let Some(event) = progress.take(&line) {
                let counts = matches!(line, LogLine::News { news: News::Progress { .. }, .. });
                if !counts || told.is_none_or(|time| time.elapsed() >= INTERVAL) {
                    told = counts.then(Instant::now).or(told);
                    self.events.emit(event);
                }
            }
            // The plan is complete when the first work begins.
            let begins = matches!(line, LogLine::Start { activity: Activity::Builds | Activity::Build(_), .. });
            match transcript.world(self.offline).filter(|_| begins) {
                Some(plan) => Err(failure::world(plan, &transcript, concerns)),
                None => Ok(()),
            }
        });
        for task in [FETCH, BUILD] {
            self.events.emit(Event::TaskFinished { task: task.to_owned() });
        }
        match ended? {
            (0, stdout) => {
                stdout.lines().last().map(PathBuf::from).filter(|path| path.is_absolute()).ok_or_else(|| {
                    Fault::new(FaultClass::Failed, "`nix-build` did not say where the guest image is")
                        .because(format!("it printed {stdout:?}"))
                })
            }
            (code, _) => Err(failure::translate(code, &transcript, concerns)),
        }
    }
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
        insta::assert_snapshot!(plain.command().display(), @"/usr/bin/nix-build /guest/nixos/default.nix -A image --argstr settings '/my project/.k3s-vm/vm/settings.json' --argstr configuration '/my project/.k3s-vm/vm/configuration.nix' --out-link '/my project/.k3s-vm/vm/result' --log-format internal-json");
        let nixpkgs = Nixpkgs::Channel("nixos-26.05".to_owned());
        insta::assert_snapshot!(Build { nixpkgs: Some(&nixpkgs), refresh: true, ..plain }.command().display(), @r#"/usr/bin/nix-build /guest/nixos/default.nix -A image --argstr settings '/my project/.k3s-vm/vm/settings.json' --argstr configuration '/my project/.k3s-vm/vm/configuration.nix' --arg nixpkgs '(fetchTarball "https://channels.nixos.org/nixos-26.05/nixexprs.tar.xz")' --out-link '/my project/.k3s-vm/vm/result' --log-format internal-json --option tarball-ttl 0"#);
        let profile = Program { path: "/profile/bin/nix-build".into(), is_in_path: false };
        let folder = Nixpkgs::Folder("../nixpkgs".to_owned());
        let offline = Build { program: &profile, nixpkgs: Some(&folder), offline: true, ..plain };
        let shown = offline.command().display();
        let (path, rest) = shown.split_once(" /profile").unwrap();
        assert!(path.starts_with("PATH=") && path.contains("/profile/bin:"), "{path}");
        insta::assert_snapshot!(rest, @"/bin/nix-build /guest/nixos/default.nix -A image --argstr settings '/my project/.k3s-vm/vm/settings.json' --argstr configuration '/my project/.k3s-vm/vm/configuration.nix' --argstr nixpkgs '/my project/../nixpkgs' --out-link '/my project/.k3s-vm/vm/result' --log-format internal-json --option substitute false --option tarball-ttl 4294967295 --option download-attempts 1 --option connect-timeout 1");
    }
}
