//! `ssh`.

use std::os::unix::process::CommandExt;
use std::process::ExitCode;

use clap::Args;
use lifecycle::Context;
use lifecycle::verbs::ssh::{self, Replacement};
use model::{Error, ErrorClass, Result};

use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  k3s-vm ssh
  k3s-vm ssh -- journalctl -b -u containerd";

/// Open a shell in the VM, or run a command there
#[derive(Debug, PartialEq, Eq, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Command for the shell of the guest
    #[arg(trailing_var_arg = true, value_name = "CMD")]
    pub(crate) command: Vec<String>,
}

/// Runs the verb.
///
/// # Errors
/// As [`ssh::run`], and [`replace_process`].
pub(crate) fn run(context: &Context<'_>, arguments: &Arguments, output: &Output) -> Result<ExitCode> {
    replace_process(ssh::run(context, &arguments.command)?, output)
}

/// Replaces this process, so that the exit code is that of the other program. Returns only if that fails.
///
/// # Errors
/// A Host error when the program cannot be executed; a Failed error when its input cannot be read.
pub(super) fn replace_process(replacement: Replacement, output: &Output) -> Result<ExitCode> {
    output.clear_live_lines();
    let mut command = std::process::Command::new(&replacement.program);
    command.args(&replacement.arguments).envs(replacement.environment.iter().map(|(name, value)| (name, value)));
    if let Some(path) = &replacement.input {
        let file = std::fs::File::open(path).map_err(|error| {
            Error::new(ErrorClass::Failed, format!("cannot read {}", path.display())).because(error)
        })?;
        command.stdin(file);
    }
    let error = command.exec();
    Err(Error::new(ErrorClass::Host, format!("cannot run {}", replacement.program.display())).because(error))
}
