//! The options of a fork, and its start.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::cluster::Cluster;
use crate::error::Error;
use crate::greeting::Greeting;
use crate::process::Process;
use crate::program;

/// The options of a fork. [`Cluster::builder`] makes one.
#[derive(Debug, Clone)]
#[must_use]
pub struct Builder {
    program: Option<PathBuf>,
    project: Option<PathBuf>,
    snapshot: Option<OsString>,
    timeout: Duration,
    close_timeout: Duration,
    shows_progress: bool,
}

impl Default for Builder {
    fn default() -> Self {
        Builder {
            program: None,
            project: None,
            snapshot: None,
            timeout: Duration::from_secs(15 * 60),
            close_timeout: Duration::from_secs(60),
            shows_progress: false,
        }
    }
}

impl Builder {
    /// The program `k3s-vm`. The default is the value of the variable `K3S_VM`, else `bin/k3s-vm` in the working directory or a
    /// directory above it, else `k3s-vm` in the `PATH`.
    pub fn program(mut self, path: impl Into<PathBuf>) -> Self {
        self.program = Some(path.into());
        self
    }

    /// The project's directory, which has `.k3s-vm/`. By default it is the working directory or a directory above it.
    pub fn project(mut self, directory: impl Into<PathBuf>) -> Self {
        self.project = Some(directory.into());
        self
    }

    /// The snapshot to start from, made with `k3s-vm snapshot save NAME`. By default the fork is like the project after
    /// `k3s-vm reset`.
    pub fn from_snapshot(mut self, name: impl Into<OsString>) -> Self {
        self.snapshot = Some(name.into());
        self
    }

    /// How long the fork may take to be ready; 15 minutes by default, because the first one of a project may have to boot. The
    /// program gets nine tenths of it, so that its own error comes first.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long the program may take to destroy the fork before it is killed; a minute by default.
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.close_timeout = timeout;
        self
    }

    /// Copies the program's stderr to that of the test, which test harnesses show for tests that fail. Errors have the end of
    /// it in any case.
    pub fn show_progress(mut self) -> Self {
        self.shows_progress = true;
        self
    }

    /// Makes the fork and waits until the cluster and the application are ready.
    ///
    /// # Errors
    /// [`Error::ProgramNotFound`], [`Error::NotStarted`], [`Error::Ended`], [`Error::Unintelligible`] or
    /// [`Error::Timeout`]. Nothing is left behind.
    pub fn fork(self) -> Result<Cluster, Error> {
        let program = self.found_program()?;
        let mut command = Command::new(&program);
        command.args(self.arguments());
        let mut process = Process::start(&program, command, self.shows_progress, self.close_timeout)?;
        let line = process.first_line(self.timeout)?;
        match Greeting::parse(&line) {
            Ok(greeting) => Ok(Cluster::new(greeting, process)),
            Err(why) => Err(process.unintelligible(&line, &why)),
        }
    }

    fn found_program(&self) -> Result<PathBuf, Error> {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        program::find(&program::Surroundings {
            ordered: self.program.clone(),
            variable: variable(program::VARIABLE).map(PathBuf::from),
            directory: std::env::current_dir().unwrap_or_else(|_| Path::new(".").to_owned()),
            path: variable("PATH").unwrap_or_default(),
        })
    }

    fn arguments(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> = ["run", "--hold", "--output", "json"].map(OsString::from).into();
        let own = self.timeout.mul_f64(0.9).as_millis();
        words.extend(["--timeout".into(), format!("{own}ms").into()]);
        if let Some(project) = &self.project {
            words.extend(["--project".into(), project.into()]);
        }
        if let Some(snapshot) = &self.snapshot {
            words.extend(["--from".into(), snapshot.into()]);
        }
        words
    }
}

impl Cluster {
    /// Makes a fork of the project of the working directory; [`Cluster::builder`] has options.
    ///
    /// # Errors
    /// As [`Builder::fork`].
    pub fn fork() -> Result<Self, Error> {
        Self::builder().fork()
    }

    /// The options of a fork.
    pub fn builder() -> Builder {
        Builder::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_become_arguments() {
        let shown = |builder: Builder| {
            builder.arguments().iter().map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
        };
        insta::assert_snapshot!(shown(Builder::default()), @"run --hold --output json --timeout 810000ms");
        let builder = Builder::default().project("/a b").from_snapshot("seeded").timeout(Duration::from_secs(10));
        insta::assert_snapshot!(shown(builder), @"run --hold --output json --timeout 9000ms --project /a b --from seeded");
    }
}
