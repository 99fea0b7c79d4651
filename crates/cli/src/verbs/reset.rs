//! `reset`.

use clap::Args;
use lifecycle::Context;
use lifecycle::verbs::reset;
use model::Result;

use super::start;
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  k3s-vm reset
  k3s-vm reset --rebuild    Rebuild the guest image, too
  k3s-vm reset --dry-run    Show from what it would begin, and the steps";

/// Destroy the cluster with its data and start a new one
///
/// Also ends orphaned VMs of earlier runs, and VMs of projects that no longer exist. Configuration, manifests and built
/// guest images stay.
#[derive(Debug, PartialEq, Eq, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Rebuild the guest image from the parts in the cache; other instances keep theirs
    #[arg(long)]
    rebuild: bool,
    #[command(flatten)]
    pub(crate) start: start::Arguments,
}

/// Runs the verb.
///
/// # Errors
/// As [`reset::run`].
pub(crate) fn run(context: &Context<'_>, arguments: &Arguments, output: &Output) -> Result<()> {
    if arguments.start.dry_run {
        let run = reset::dry_run(context, arguments.start.wait.waits(), arguments.rebuild)?;
        return start::plan(&run, arguments.start.output, output);
    }
    let report = reset::run(context, start::options(&arguments.start.wait), arguments.rebuild)?;
    start::report(&report, arguments.start.output, output)
}
