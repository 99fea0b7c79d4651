//! Measures another tool in the same run: a shell command that brings up a cluster.

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

/// A command of another tool, and its name in the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Against {
    /// The name in the table.
    pub(crate) name: String,
    /// The line for the shell. It returns once its cluster is Ready; with the argument `clean` it removes the cluster.
    pub(crate) command: String,
}

impl Against {
    /// Reads `NAME=COMMAND`.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let (name, command) = text.split_once('=').context("--against wants NAME=COMMAND")?;
        ensure!(!name.is_empty() && !command.is_empty(), "--against wants NAME=COMMAND");
        Ok(Against { name: name.to_owned(), command: command.to_owned() })
    }

    /// Seconds that the command takes; its cluster is removed afterwards.
    pub(crate) fn measure(&self) -> Result<f64> {
        let begin = Instant::now();
        self.run("")?;
        let seconds = begin.elapsed().as_secs_f64();
        self.run("clean")?;
        Ok(seconds)
    }

    fn run(&self, argument: &str) -> Result<()> {
        let line = format!("{} {argument}", self.command);
        let mut command = Command::new("/bin/sh");
        command.args(["-e", "-c", &line]).stdin(Stdio::null()).stdout(Stdio::null());
        let status = command.status().with_context(|| format!("cannot run {line}"))?;
        if !status.success() {
            bail!("{line} ended with {status}");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_a_command() {
        let against = Against::parse("kind=kind create cluster --wait=5m").unwrap();
        assert_eq!((against.name.as_str(), against.command.as_str()), ("kind", "kind create cluster --wait=5m"));
        for text in ["kind", "=x", "kind="] {
            assert!(Against::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_command_that_fails_is_no_figure() {
        assert!(Against::parse("x=false").unwrap().measure().is_err());
        assert!(Against::parse("x=true").unwrap().measure().is_ok());
    }
}
