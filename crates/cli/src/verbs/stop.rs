//! `stop`.

use std::time::Duration;

use clap::Args;
use lifecycle::Context;
use lifecycle::verbs::stop::{self, StopOptions};
use model::Result;

use crate::args::{OutputArgs, parse_duration};
use crate::output::Output;

/// Stop the VM; the next `start` resumes it
///
/// The VM is suspended: its RAM is saved beside its disk, and the next `start` resumes from there. If that is not
/// possible, or with --power-off, the guest shuts down instead, and is killed if it does not do so in time. Stopping a
/// stopped cluster succeeds.
#[derive(Debug, PartialEq, Eq, Args)]
pub(crate) struct Arguments {
    /// Shut down the guest instead of suspending it; the next start boots it
    #[arg(long)]
    power_off: bool,
    /// Kill the VM if the guest has not shut down within DURATION, for example 90s
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    timeout: Option<Duration>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the verb.
///
/// # Errors
/// As [`stop::run`].
pub(crate) fn run(context: &Context<'_>, arguments: &Arguments, output: &Output) -> Result<()> {
    let options = StopOptions { power_off: arguments.power_off, timeout: arguments.timeout };
    output.report_to_programs(arguments.output, &stop::run(context, options)?)
}
