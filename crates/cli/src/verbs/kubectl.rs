//! `kubectl`.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Args;
use lifecycle::Context;
use lifecycle::verbs::kubectl;
use model::Result;

use super::ssh::replace_process;
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  k3s-vm kubectl get nodes
  k3s-vm kubectl -- exec -it deploy/web -- /web resolve kubernetes.default.svc";

/// Run kubectl against the cluster; arguments are passed through unchanged
#[derive(Debug, PartialEq, Eq, Args)]
#[command(disable_help_flag = true, after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Arguments for kubectl
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    pub(crate) arguments: Vec<OsString>,
}

/// Runs the verb.
///
/// # Errors
/// As [`kubectl::run`], and [`replace_process`].
pub(crate) fn run(context: &Context<'_>, arguments: &Arguments, output: &Output) -> Result<ExitCode> {
    replace_process(kubectl::run(context, &arguments.arguments)?, output)
}
