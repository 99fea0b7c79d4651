//! `forward add`, `list` and `rm`.

use clap::{Args, Subcommand};
use lifecycle::Context;
use lifecycle::verbs::forward::{self, ForwardReport, Purpose};
use model::Result;
use model::config::PortForward;
use model::port::Port;

use crate::args::OutputArgs;
use crate::output::Output;
use crate::output::style::Style;
use crate::output::table::Table;

const EXAMPLES: &str = "\
Examples:
  k3s-vm forward add 5432:30432           Forward 127.0.0.1:5432 to the NodePort 30432 of a database
  k3s-vm forward add --save 5432:30432    Also at every later start
  k3s-vm forward add 30432                Use any free port of the host and print it
  k3s-vm forward rm 5432";

/// Forward ports of the host to the guest while it runs
#[derive(Debug, PartialEq, Eq, Subcommand)]
#[command(after_long_help = EXAMPLES)]
pub(crate) enum Arguments {
    Add(Add),
    /// List all forwarded ports
    List(OutputArgs),
    Rm(Rm),
}

/// Forward a port of the host to a port of the guest
#[derive(Debug, PartialEq, Eq, Args)]
pub(crate) struct Add {
    /// Port of the host and port of the guest; without HOST, any free one
    #[arg(value_name = "[HOST:]GUEST", value_parser = PortForward::parse)]
    forward: PortForward,
    /// Add it to `.k3s-vm/config.toml` as well, so that every start opens it
    #[arg(long)]
    save: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// Stop forwarding a port of the host; open connections stay open
#[derive(Debug, PartialEq, Eq, Args)]
pub(crate) struct Rm {
    /// Port of the host
    #[arg(value_name = "HOST", value_parser = parse_port)]
    host: Port,
    /// Remove it from `.k3s-vm/config.toml` as well
    #[arg(long)]
    save: bool,
    #[command(flatten)]
    output: OutputArgs,
}

fn parse_port(text: &str) -> Result<Port, String> {
    Port::parse(text).ok_or_else(|| "not a port (1 to 65535)".to_owned())
}

/// Runs the verb.
///
/// # Errors
/// As the functions of [`forward`].
pub(crate) fn run(context: &Context<'_>, arguments: &Arguments, output: &Output) -> Result<()> {
    match arguments {
        Arguments::Add(Add { forward, save, output: format }) => {
            let report = forward::add(context, *forward, *save)?;
            output.report(*format, &report, |report, style| render(std::slice::from_ref(report), style))
        }
        Arguments::List(format) => {
            output.report(*format, &forward::list(context)?, |reports, style| render(reports, style))
        }
        Arguments::Rm(Rm { host, save, output: format }) => {
            output.report_to_programs(*format, &forward::remove(context, *host, *save)?)
        }
    }
}

/// Every forward with its purpose.
fn render(reports: &[ForwardReport], style: Style) -> String {
    let mut table = Table::new(["HOST", "GUEST", "FOR", "STATE"]);
    for report in reports {
        let host = match report.host {
            Some(host) => format!("{}:{host}", report.bind),
            None => format!("{}:any", report.bind),
        };
        let guest = report.guest.map_or_else(|| "-".to_owned(), |guest| guest.to_string());
        let purpose = match report.purpose {
            Purpose::Api => "Kubernetes API",
            Purpose::Ssh => "SSH",
            Purpose::Web => "web application",
            Purpose::Own => "-",
        };
        let state = match (report.open, report.kept) {
            (true, true) => "open",
            (true, false) => "open until stop",
            (false, _) => "opens at start",
        };
        table.row([&host, &guest, purpose, state]);
    }
    table.render(style)
}

#[cfg(test)]
mod tests {
    use model::BindAddress;
    use model::port::Port;

    use super::*;

    #[test]
    fn ports_that_are_open_now_and_ports_that_open_at_start() {
        let bind = BindAddress::LOOPBACK;
        let report = |host, guest, purpose, open, kept| ForwardReport {
            bind,
            host: Port::new(host),
            guest: Port::new(guest),
            purpose,
            open,
            kept,
        };
        let reports = [
            report(6443, 6443, Purpose::Api, true, true),
            report(2666, 22, Purpose::Ssh, true, true),
            report(30080, 30080, Purpose::Web, true, true),
            report(8080, 80, Purpose::Own, true, false),
            report(0, 5432, Purpose::Own, false, true),
        ];
        insta::assert_snapshot!(render(&reports, Style::PLAIN), @r"
        HOST             GUEST  FOR              STATE
        127.0.0.1:6443   6443   Kubernetes API   open
        127.0.0.1:2666   22     SSH              open
        127.0.0.1:30080  30080  web application  open
        127.0.0.1:8080   80     -                open until stop
        127.0.0.1:any    5432   -                opens at start
        ");
    }
}
