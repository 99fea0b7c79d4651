//! `resume`.

use std::time::Duration;

use clap::Args;
use lifecycle::Context;
use lifecycle::verbs::pause;
use model::Result;

use crate::args::{OutputArgs, parse_duration};
use crate::output::Output;

/// Resume a paused VM and wait until its API answers
#[derive(Debug, PartialEq, Eq, Args)]
pub(crate) struct Arguments {
    /// Fail if the API does not answer within DURATION, for example 90s
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    timeout: Option<Duration>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the verb.
///
/// # Errors
/// As [`pause::resume`].
pub(crate) fn run(context: &Context<'_>, arguments: &Arguments, output: &Output) -> Result<()> {
    output.report_to_programs(arguments.output, &pause::resume(context, arguments.timeout)?)
}
