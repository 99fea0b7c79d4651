//! `delete`.

use clap::Args;
use lifecycle::Context;
use lifecycle::verbs::delete;
use model::Result;

use crate::args::OutputArgs;
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  k3s-vm delete --name two
  k3s-vm delete --all";

/// Destroy the instance with its data, but no snapshots, templates or guest images
#[derive(Debug, PartialEq, Eq, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Destroy all instances of the project
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the verb.
///
/// # Errors
/// As [`delete::run`].
pub(crate) fn run(context: &Context<'_>, arguments: &Arguments, output: &Output) -> Result<()> {
    output.report_to_programs(arguments.output, &delete::run(context, arguments.all)?)
}
