//! What may be typed after `snapshot`.

use clap::Subcommand;
use model::snapshot::SnapshotName;

use super::{OutputArgs, WaitArgs};

/// What to do with snapshots.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub(crate) enum SnapshotVerb {
    /// Save the running cluster, which goes on after a second or less
    #[command(after_long_help = "\
Examples:
  k3s-vm snapshot save seeded
  k3s-vm snapshot save seeded --replace")]
    Save {
        /// Lower-case letters, digits and dashes
        #[arg(value_name = "SNAPSHOT", value_parser = parse_snapshot)]
        snapshot: SnapshotName,
        /// Take the place of the one that has this name
        #[arg(long)]
        replace: bool,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// List snapshots: age, size, what is in them, and how they would be restored
    List(OutputArgs),
    /// Remove snapshots and give back their space
    Rm {
        /// Their names
        #[arg(value_name = "SNAPSHOT", required = true, value_parser = parse_snapshot)]
        snapshots: Vec<SnapshotName>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Put the cluster back to a snapshot; what it is now is lost
    ///
    /// Nothing is applied to it. Where its RAM cannot be used any more, for example after an update of QEMU, its disk is
    /// booted.
    #[command(after_long_help = "\
Examples:
  k3s-vm snapshot restore seeded
  k3s-vm snapshot restore seeded --name two    Another instance is put back to it")]
    Restore {
        /// Its name
        #[arg(value_name = "SNAPSHOT", value_parser = parse_snapshot)]
        snapshot: SnapshotName,
        #[command(flatten)]
        wait: WaitArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
}

fn parse_snapshot(text: &str) -> Result<SnapshotName, String> {
    SnapshotName::new(text).map_err(|error| error.why().join("; "))
}
