//! Errors of forks: what happened, the program's output, and the next command.

use std::fmt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

/// An error of a fork.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The program `k3s-vm` was not found.
    ProgramNotFound {
        /// The working directory, in which the search began.
        directory: PathBuf,
    },
    /// The program could not be started.
    NotStarted {
        /// The program.
        program: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The program ended before the fork was ready, or before the fork was closed. The exit code says more: 6 is a taken
    /// port, 69 something that the host lacks.
    Ended {
        /// How it ended.
        status: ExitStatus,
        /// The end of its stderr.
        said: String,
    },
    /// The program printed something else than the fork's addresses, and was killed.
    Unintelligible {
        /// The program.
        program: PathBuf,
        /// The beginning of what it printed.
        line: String,
        /// What is wrong with it.
        why: String,
        /// The end of its stderr.
        said: String,
    },
    /// The fork was not ready in time, and the program was killed.
    Timeout {
        /// The deadline.
        after: Duration,
        /// The end of its stderr.
        said: String,
    },
    /// The program did not end when the fork was closed, and was killed. The fork's reaper, or the next fork, removes what is
    /// left.
    NotGone {
        /// The deadline.
        after: Duration,
        /// The end of its stderr.
        said: String,
    },
    /// The fork's kubeconfig cannot be used.
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::ProgramNotFound { directory } => {
                writeln!(f, "the program k3s-vm was not found")?;
                writeln!(f, "  There is no bin/k3s-vm in {} or above it, and none in the PATH.", directory.display())?;
                write!(f, "Next: export K3S_VM=/path/to/bin/k3s-vm    # or Cluster::builder().program(…)")
            }
            Error::NotStarted { program, source } => {
                writeln!(f, "{} cannot be started: {source}", program.display())?;
                write!(f, "Next: export K3S_VM=/path/to/bin/k3s-vm    # or Cluster::builder().program(…)")
            }
            Error::Ended { status, said } => {
                write!(f, "k3s-vm ended, and with it the fork: {status}")?;
                quote(f, said)?;
                next(f, said, "k3s-vm start    # shows whether the project's cluster starts at all")
            }
            Error::Unintelligible { program, line, why, said } => {
                writeln!(f, "{} did not tell where its fork is", program.display())?;
                write!(f, "  It printed {line:?}: {why}")?;
                quote(f, said)?;
                next(f, "", "k3s-vm --version    # is it the k3s-vm that you mean, and as new as this library?")
            }
            Error::Timeout { after, said } => {
                write!(f, "the fork was not ready within {after:?}")?;
                quote(f, said)?;
                next(f, "", "k3s-vm start    # once: forks of a cluster that has been ready take seconds")
            }
            Error::NotGone { after, said } => {
                write!(f, "k3s-vm did not end within {after:?} after the fork was closed, and was killed")?;
                quote(f, said)?;
                next(f, "", "k3s-vm list    # is it still there?")
            }
            Error::Kubeconfig { path, source } => {
                writeln!(f, "the fork's kubeconfig {} cannot be used: {source}", path.display())?;
                write!(f, "Next: k3s-vm list    # is the fork still there?")
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::NotStarted { source, .. } => Some(source),
            Error::Kubeconfig { source, .. } => Some(source.as_ref()),
            _ => None,
        }
    }
}

fn quote(f: &mut fmt::Formatter<'_>, said: &str) -> fmt::Result {
    said.lines().try_for_each(|line| write!(f, "\n  | {line}"))
}

/// The next command, unless the program's own output has one.
fn next(f: &mut fmt::Formatter<'_>, said: &str, command: &str) -> fmt::Result {
    if said.lines().any(|line| line.trim_start().starts_with("Next:")) {
        return Ok(());
    }
    write!(f, "\nNext: {command}")
}
