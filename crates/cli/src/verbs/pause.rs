//! `pause`.

use clap::Args;
use lifecycle::Context;
use lifecycle::verbs::pause;
use model::Result;

use crate::args::OutputArgs;
use crate::output::Output;

/// Pause the VM; a connection to a forwarded port resumes it
#[derive(Debug, PartialEq, Eq, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the verb.
///
/// # Errors
/// As [`pause::pause`].
pub(crate) fn run(context: &Context<'_>, arguments: &Arguments, output: &Output) -> Result<()> {
    output.report_to_programs(arguments.output, &pause::pause(context)?)
}
