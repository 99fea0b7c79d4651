//! The command line: all verbs with their order in the help, and what the program says about itself.

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};
use model::instance::InstanceName;

use crate::args::Globals;
use crate::verbs::{
    apply, background, clone, config, delete, forward, kubectl, list, load, logs, nix, pause, prune, reset, resume,
    run, snapshot, ssh, start, status, stop,
};

const EXAMPLES: &str = "\
Examples:
  k3s-vm                        Build what is missing, start, and wait for the web application
  k3s-vm apply                  Apply changed manifests and variables to the running cluster
  k3s-vm kubectl get pods -A    Run kubectl against the cluster
  k3s-vm stop                   Suspend the VM; the next start resumes it
  k3s-vm reset                  Destroy the cluster with its data and start a new one";

const EXIT_CODES: &str = "\
Exit codes:
  0  success                         5  the guest or its QEMU died
  1  failure                         6  a port is in use by another process
  2  wrong usage or configuration    7  the cluster refused a request
  3  not possible in this state      69 the host lacks something
  4  timeout                         130 interrupted
  `run`, `ssh` and `kubectl` pass on the exit code of what they run.";

/// The command line as it is typed.
#[derive(Debug, Parser)]
#[command(
    name = "k3s-vm",
    version,
    about = "Run a real Kubernetes cluster for a project in a VM of its own",
    long_about = "Run a real Kubernetes cluster for a project in a VM of its own\n\nWithout a verb, build what is missing and \
                  start the cluster. A project is a directory that contains `.k3s-vm/`.",
    after_help = EXAMPLES,
    after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"),
    subcommand_value_name = "VERB",
    subcommand_help_heading = "Verbs",
    disable_help_subcommand = true
)]
struct CommandLine {
    #[command(flatten)]
    start: start::Arguments,
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    verb: Option<Verb>,
}

/// The verbs, in the order of the help. Help, examples and flags of each are in its file.
#[derive(Debug, PartialEq, Eq, Subcommand)]
pub(crate) enum Verb {
    Start(start::Arguments),
    Stop(stop::Arguments),
    Pause(pause::Arguments),
    Resume(resume::Arguments),
    #[command(subcommand)]
    Forward(forward::Arguments),
    Status(status::Arguments),
    Ssh(ssh::Arguments),
    Reset(reset::Arguments),
    Apply(apply::Arguments),
    Logs(logs::Arguments),
    Load(load::Arguments),
    #[command(subcommand)]
    Config(config::Arguments),
    #[command(subcommand)]
    Nix(nix::Arguments),
    Kubectl(kubectl::Arguments),
    Clone(clone::Arguments),
    Run(run::Arguments),
    Delete(delete::Arguments),
    #[command(subcommand)]
    Snapshot(snapshot::Arguments),
    List(list::Arguments),
    Prune(prune::Arguments),
    #[command(flatten)]
    Background(background::Arguments),
}

/// The command line with the verb to run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Invocation {
    /// Flags that every verb takes.
    pub(crate) globals: Globals,
    /// The verb; `start` when none was typed.
    pub(crate) verb: Verb,
}

impl Invocation {
    /// The instance of the verb, if it is not the project's default one.
    pub(crate) fn instance(&self) -> Option<&InstanceName> {
        match &self.verb {
            Verb::Clone(arguments) => Some(&arguments.new),
            _ => self.globals.name.as_ref(),
        }
    }

    /// Reads the arguments of the process, the first of which is the program, and the variables of global flags.
    ///
    /// # Errors
    /// What clap prints: a mistake with exit code 2, or help and version with exit code 0.
    pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let CommandLine { globals, start, verb } = CommandLine::try_parse_from(arguments)?;
        let verb = match verb {
            None => Verb::Start(start),
            Some(_) if start != start::Arguments::default() => {
                return Err(CommandLine::command().error(
                    ErrorKind::ArgumentConflict,
                    "flags of `start` come after the verb: `k3s-vm start --timeout 5m`",
                ));
            }
            Some(verb) => verb,
        };
        Ok(Invocation { globals, verb })
    }
}

#[cfg(test)]
mod help_tests;
#[cfg(test)]
mod tests;
