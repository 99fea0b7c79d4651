//! `logs`.

use clap::Args;
use lifecycle::Context;
use lifecycle::verbs::logs;
use model::Result;

use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  k3s-vm logs -n 50
  k3s-vm logs -f
  k3s-vm logs --previous    Why the previous run failed";

/// Show the console of the VM and the output of QEMU
#[derive(Debug, PartialEq, Eq, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Print new output as it is written, until the VM stops
    #[arg(short, long)]
    follow: bool,
    /// Start with the last N lines; defaults to all lines
    #[arg(short = 'n', long, value_name = "N")]
    lines: Option<usize>,
    /// Show the log of the previous run, or of N runs ago, at most 3
    #[arg(
        short,
        long,
        value_name = "N",
        num_args = 0..=1,
        default_missing_value = "1",
        conflicts_with = "follow",
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    previous: Option<u32>,
    /// Print the guest's output unchanged, with its escape sequences, even to a terminal
    #[arg(long)]
    raw: bool,
}

/// Runs the verb.
///
/// # Errors
/// As [`logs::lines`] and [`logs::follow`].
pub(crate) fn run(context: &Context<'_>, arguments: &Arguments, output: &Output) -> Result<()> {
    let mut log = output.log(arguments.raw);
    let text = logs::lines(context, arguments.previous.unwrap_or(0), arguments.lines)?;
    log.write(text.iter().map(|line| format!("{line}\n")).collect::<String>().as_bytes())?;
    if arguments.follow {
        logs::follow(context, &mut |bytes| log.write(bytes))?;
    }
    log.end()
}
