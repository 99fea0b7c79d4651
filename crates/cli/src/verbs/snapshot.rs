//! `snapshot save`, `list`, `rm` and `restore`.

use std::time::Duration;

use bytesize::ByteSize;
use clap::{Args, Subcommand};
use lifecycle::Context;
use lifecycle::verbs::snapshot::{self, Entry, RemoveReport};
use model::Result;
use model::snapshot::SnapshotName;

use super::start;
use crate::args::{OutputArgs, WaitArgs, parse_snapshot};
use crate::output::Output;
use crate::output::style::Style;
use crate::output::table::Table;

const EXAMPLES: &str = "\
Examples:
  k3s-vm snapshot save seeded
  k3s-vm snapshot list
  k3s-vm snapshot restore seeded
  k3s-vm snapshot rm seeded";

const SAVE_EXAMPLES: &str = "\
Examples:
  k3s-vm snapshot save seeded
  k3s-vm snapshot save seeded --replace";

const RESTORE_EXAMPLES: &str = "\
Examples:
  k3s-vm snapshot restore seeded
  k3s-vm snapshot restore seeded --name two    Restore another instance from it";

/// Save states of the cluster by name, and restore them
///
/// A snapshot contains the RAM and the disk of the whole VM. It stays until it is removed, and can be restored to any
/// instance of the project.
#[derive(Debug, PartialEq, Eq, Subcommand)]
#[command(after_long_help = EXAMPLES)]
pub(crate) enum Arguments {
    Save(Save),
    /// List snapshots with age, size, contents and how they would be restored
    List(OutputArgs),
    Rm(Rm),
    Restore(Restore),
}

/// Save the running cluster; it is paused for about a second
#[derive(Debug, PartialEq, Eq, Args)]
#[command(after_long_help = SAVE_EXAMPLES)]
pub(crate) struct Save {
    /// Name of the snapshot: lower-case letters, digits and dashes
    #[arg(value_name = "SNAPSHOT", value_parser = parse_snapshot)]
    snapshot: SnapshotName,
    /// Replace the snapshot that has this name
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// Remove snapshots and free their space
#[derive(Debug, PartialEq, Eq, Args)]
pub(crate) struct Rm {
    /// Names of the snapshots
    #[arg(value_name = "SNAPSHOT", required = true, value_parser = parse_snapshot)]
    snapshots: Vec<SnapshotName>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Restore the cluster from a snapshot; its current state is lost
///
/// Applies no manifests. If the saved RAM can no longer be used, for example after an update of QEMU, boots from the
/// saved disk.
#[derive(Debug, PartialEq, Eq, Args)]
#[command(after_long_help = RESTORE_EXAMPLES)]
pub(crate) struct Restore {
    /// Name of the snapshot
    #[arg(value_name = "SNAPSHOT", value_parser = parse_snapshot)]
    snapshot: SnapshotName,
    #[command(flatten)]
    wait: WaitArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl Arguments {
    /// Whether the verb changes the instance.
    pub(crate) fn changes_instance(&self) -> bool {
        matches!(self, Arguments::Save(_) | Arguments::Restore(_))
    }
}

/// Runs the verb.
///
/// # Errors
/// As the functions of [`snapshot`].
pub(crate) fn run(context: &Context<'_>, arguments: &Arguments, output: &Output) -> Result<()> {
    match arguments {
        Arguments::Save(Save { snapshot, replace, output: format }) => {
            output.report_to_programs(*format, &snapshot::save(context, snapshot, *replace)?)
        }
        Arguments::List(format) => {
            output.report(*format, &snapshot::list(context)?, |entries, style| render_list(entries, style))
        }
        Arguments::Rm(Rm { snapshots, output: format }) => {
            output.report(*format, &snapshot::remove(context, snapshots)?, |report, _| render_removed(report))
        }
        Arguments::Restore(Restore { snapshot, wait, output: format }) => {
            start::report(&snapshot::restore(context, snapshot, start::options(wait))?, *format, output)
        }
    }
}

/// Every snapshot with its contents, and below the table why the RAM of some cannot be used.
fn render_list(entries: &[Entry], style: Style) -> String {
    let mut table = Table::new(["SNAPSHOT", "AGE", "SIZE", "RUNS", "HOLDS", "RESTORES"]);
    let mut reasons = String::new();
    for entry in entries {
        let unknown = || "-".to_owned();
        let age = entry.age.map_or_else(unknown, |seconds| age(Duration::from_secs(seconds)));
        let holds = match entry.deployments.as_slice() {
            [] => unknown(),
            names => names.join(", "),
        };
        let restores = match (entry.fits, &entry.distribution) {
            (true, _) => "from RAM",
            (false, Some(_)) => "by a boot",
            (false, None) => "no",
        };
        let runs = entry.distribution.clone().unwrap_or_else(unknown);
        table.row([entry.name.as_str(), &age, &ByteSize(entry.size).to_string(), &runs, &holds, restores]);
        if let Some(why) = &entry.why_not {
            reasons.push_str(&format!("{}: {why}\n", entry.name));
        }
    }
    let separator = if reasons.is_empty() { "" } else { "\n" };
    format!("{}{separator}{reasons}", table.render(style))
}

/// Which snapshots were removed, and how much space that freed.
fn render_removed(report: &RemoveReport) -> String {
    let names: Vec<&str> = report.removed.iter().map(|name| name.as_str()).collect();
    format!("Removed {}; {} are free again.\n", names.join(", "), ByteSize(report.bytes))
}

/// The age in its largest unit: nobody needs the seconds of a snapshot.
fn age(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0..=119 => format!("{seconds}s"),
        120..=7199 => format!("{}m", seconds / 60),
        7200..=172_799 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str) -> Entry {
        Entry {
            name: SnapshotName::new(name).unwrap(),
            created: Some(1_795_000_000),
            age: Some(300),
            size: 1_200_000_000,
            distribution: Some("kubernetes v1.37.2".to_owned()),
            image: Some("/cache/images/KEY".to_owned()),
            node: Some("k3s-vm".to_owned()),
            deployments: vec!["default/web".to_owned(), "shop/cart".to_owned()],
            fits: true,
            why_not: None,
        }
    }

    #[test]
    fn a_list_shows_contents_and_how_each_would_be_restored() {
        let old = Entry {
            fits: false,
            why_not: Some("QEMU is another one".to_owned()),
            age: Some(7 * 86400),
            ..entry("old")
        };
        let damaged = Entry {
            created: None,
            age: None,
            distribution: None,
            deployments: Vec::new(),
            fits: false,
            why_not: Some("there is none".to_owned()),
            ..entry("damaged")
        };
        insta::assert_snapshot!(render_list(&[entry("new"), old, damaged], Style::PLAIN), @"
        SNAPSHOT  AGE  SIZE     RUNS                HOLDS                   RESTORES
        new       5m   1.1 GiB  kubernetes v1.37.2  default/web, shop/cart  from RAM
        old       7d   1.1 GiB  kubernetes v1.37.2  default/web, shop/cart  by a boot
        damaged   -    1.1 GiB  -                   -                       no

        old: QEMU is another one
        damaged: there is none
        ");
        insta::assert_snapshot!(render_list(&[entry("new")], Style::PLAIN), @"
        SNAPSHOT  AGE  SIZE     RUNS                HOLDS                   RESTORES
        new       5m   1.1 GiB  kubernetes v1.37.2  default/web, shop/cart  from RAM
        ");
        assert_eq!(render_list(&[], Style::PLAIN), "");
    }

    #[test]
    fn a_removal_tells_how_much_space_it_freed() {
        let removed_names = vec![SnapshotName::new("a").unwrap(), SnapshotName::new("b").unwrap()];
        let report = RemoveReport { removed: removed_names, bytes: 3 << 30 };
        assert_eq!(render_removed(&report), "Removed a, b; 3.0 GiB are free again.\n");
    }

    #[test]
    fn ages_have_one_unit() {
        let shown = |seconds| age(Duration::from_secs(seconds));
        let all = [0, 119, 120, 7199, 7200, 172_799, 172_800].map(shown);
        assert_eq!(all, ["0s", "119s", "2m", "119m", "2h", "47h", "2d"]);
    }
}
