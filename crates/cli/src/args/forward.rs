//! The flags of `forward` and of the hidden verb that keeps a VM.

use std::time::Duration;

use clap::{Args, Subcommand};
use model::config::PortForward;
use model::port::Port;

use super::{OutputArgs, parse_duration};

pub(super) const EXAMPLES: &str = "\
Examples:
  k3s-vm forward add 5432:30432           The NodePort 30432 of a database on 127.0.0.1:5432, at once
  k3s-vm forward add --save 5432:30432    At every later start, too
  k3s-vm forward add 30432                On any free port of the host, which is told
  k3s-vm forward rm 5432";

/// What to do with forwards.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub(crate) enum ForwardVerb {
    /// Open a port of the host that leads to a port of the guest
    Add {
        /// The host's port and the guest's; without HOST any free one
        #[arg(value_name = "[HOST:]GUEST", value_parser = PortForward::parse)]
        forward: PortForward,
        /// Keep it in `.k3s-vm/config.toml`, so that every start opens it
        #[arg(long)]
        save: bool,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Show all ports of the host that lead into the guest
    List(OutputArgs),
    /// Close a port of the host; connections that are open stay
    Rm {
        /// The host's port
        #[arg(value_name = "HOST", value_parser = parse_port)]
        host: Port,
        /// Remove it from `.k3s-vm/config.toml`, too
        #[arg(long)]
        save: bool,
        #[command(flatten)]
        output: OutputArgs,
    },
}

/// Flags of the supervisor, which verbs start themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
pub(crate) struct SupervisorArgs {
    /// Pause the guest when nothing has been connected for DURATION
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) auto_pause: Option<Duration>,
    /// The guest stands still; the standard input is the line on which QEMU tells who wants it
    #[arg(long)]
    pub(crate) paused: bool,
}

fn parse_port(text: &str) -> Result<Port, String> {
    Port::parse(text).ok_or_else(|| "not a port (1 to 65535)".to_owned())
}
