//! `clone`.

use clap::Args;
use lifecycle::Context;
use lifecycle::verbs::clone;
use model::Result;
use model::instance::InstanceName;

use super::start;
use crate::args::parse_name;
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  k3s-vm clone two
  k3s-vm clone two --from before-migration
  k3s-vm kubectl --name two get pods";

/// Create another instance of the project from the template or a snapshot, and start it
///
/// It has a disk, ports and a kubeconfig of its own. Use it by `--name NAME` after any verb.
#[derive(Debug, PartialEq, Eq, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Name of the new instance
    #[arg(value_name = "NAME", value_parser = parse_name)]
    pub(crate) new: InstanceName,
    /// Start from the snapshot SNAPSHOT
    #[arg(long, value_name = "SNAPSHOT")]
    from: Option<String>,
    #[command(flatten)]
    pub(crate) start: start::Arguments,
}

/// Runs the verb; `context` is that of the new instance.
///
/// # Errors
/// As [`clone::run`].
pub(crate) fn run(context: &Context<'_>, arguments: &Arguments, output: &Output) -> Result<()> {
    let from = arguments.from.as_deref();
    if arguments.start.dry_run {
        let run = clone::dry_run(context, from, arguments.start.wait.waits())?;
        return start::plan(&run, arguments.start.output, output);
    }
    let report = clone::run(context, from, start::options(&arguments.start.wait))?;
    start::report(&report, arguments.start.output, output)
}
