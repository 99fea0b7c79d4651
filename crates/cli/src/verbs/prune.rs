//! `prune`.

use bytesize::ByteSize;
use clap::Args;
use lifecycle::Context;
use lifecycle::verbs::prune::{self, Kind, PruneReport};
use model::Result;

use crate::args::OutputArgs;
use crate::output::Output;
use crate::output::style::Style;
use crate::output::table::Table;

const EXAMPLES: &str = "\
Examples:
  k3s-vm prune --dry-run
  k3s-vm prune";

/// Free the space of what nothing can use any more
///
/// Removes templates that no longer match, garbage of killed commands and, from the cache that projects share, old
/// downloads and guest images that no project uses. Instances and snapshots stay.
#[derive(Debug, PartialEq, Eq, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Print what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the verb.
///
/// # Errors
/// As [`prune::run`].
pub(crate) fn run(context: &Context<'_>, arguments: &Arguments, output: &Output) -> Result<()> {
    output.report(arguments.output, &prune::run(context, arguments.dry_run)?, render)
}

/// What was removed, or would be, and what stays because its users are unknown.
fn render(report: &PruneReport, style: Style) -> String {
    let mut table = Table::new(["SIZE", "KIND", "PATH", "WHY"]);
    for removal in &report.removed {
        let kind = match removal.kind {
            Kind::Template => "template",
            Kind::Unfinished => "unfinished",
            Kind::SuspendedRam => "suspended RAM",
            Kind::BackingFiles => "backing files",
            Kind::GuestImage => "guest image",
            Kind::Download => "download",
        };
        table.row([&ByteSize(removal.bytes).to_string(), kind, &removal.path.display().to_string(), &removal.why]);
    }
    let mut text = table.render(style);
    for kept in &report.kept {
        let line = format!("Kept: {} ({}): {}\n", kept.path.display(), ByteSize(kept.bytes), kept.why);
        text.push_str(&style.faint(&line));
    }
    let all = ByteSize(report.bytes);
    text + &if report.dry_run { format!("{all} could be given back.\n") } else { format!("{all} are free again.\n") }
}

#[cfg(test)]
mod tests {
    use lifecycle::verbs::prune::{Kept, Removal};

    use super::*;

    #[test]
    fn everything_pruned_is_listed_with_its_reason() {
        let removal =
            |kind, path: &str, why: &str| Removal { kind, path: path.into(), why: why.to_owned(), bytes: 1 << 30 };
        let report = PruneReport {
            dry_run: true,
            removed: vec![
                removal(Kind::Template, "/p/.k3s-vm/templates/ready", "QEMU is another one"),
                removal(Kind::GuestImage, "/c/images/KEY", "no project uses it, and there is a newer one"),
            ],
            kept: vec![Kept { path: "/c/images/OLD".into(), why: "it is from before".to_owned(), bytes: 1 << 20 }],
            bytes: 2 << 30,
        };
        insta::assert_snapshot!(render(&report, Style::PLAIN), @r"
        SIZE     KIND         PATH                        WHY
        1.0 GiB  template     /p/.k3s-vm/templates/ready  QEMU is another one
        1.0 GiB  guest image  /c/images/KEY               no project uses it, and there is a newer one
        Kept: /c/images/OLD (1.0 MiB): it is from before
        2.0 GiB could be given back.
        ");
        let nothing = PruneReport { dry_run: false, removed: Vec::new(), kept: Vec::new(), bytes: 0 };
        assert_eq!(render(&nothing, Style::PLAIN), "0 B are free again.\n");
    }
}
