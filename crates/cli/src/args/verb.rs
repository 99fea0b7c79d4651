//! The verbs with their help.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use model::instance::InstanceName;

use super::config::ConfigArgs;
use super::forward::{self, ForwardVerb, SupervisorArgs};
use super::{ApplyArgs, ConfigVerb, NixVerb, OutputArgs, SnapshotVerb, StartArgs, parse_duration};

/// The verbs.
#[derive(Debug, PartialEq, Eq, Subcommand)]
pub(crate) enum Verb {
    /// Start the cluster, building first what is missing
    ///
    /// A running cluster is verified, and its kubeconfig, variables and manifests are brought up to date.
    #[command(after_long_help = "\
Examples:
  k3s-vm start --yes --timeout 30m    For CI: install host packages unasked, allow a slow machine
  k3s-vm start --no-wait              Return once the VM runs")]
    Start(StartArgs),
    /// Stop the VM; the next `start` goes on where it is
    ///
    /// The VM is suspended: its RAM is kept beside its disk, for the next start alone. Where that cannot be done, or is not
    /// wanted, the guest powers off; one that does not in time is ended. A stopped cluster stays stopped, which is success.
    Stop {
        /// Shut the guest down; the next start boots it
        #[arg(long)]
        power_off: bool,
        /// End the VM by force when the guest has not powered off after DURATION, for example 90s
        #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
        timeout: Option<Duration>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Let the VM stand still; the next connection to one of its ports lets it go on
    Pause(OutputArgs),
    /// Let a paused VM go on, and wait until its API answers
    Resume {
        /// Fail when it does not answer after DURATION, for example 90s
        #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
        timeout: Option<Duration>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Open ports of the host that lead into the guest, while it runs
    #[command(subcommand, after_long_help = forward::EXAMPLES)]
    Forward(ForwardVerb),
    /// Look after an idle VM
    #[command(hide = true)]
    Supervisor(SupervisorArgs),
    /// Show whether the cluster runs and where it answers
    #[command(after_long_help = "\
Examples:
  k3s-vm status
  k3s-vm status -o json    For scripts")]
    Status(OutputArgs),
    /// Open a shell in the VM, or run a command there
    #[command(after_long_help = "\
Examples:
  k3s-vm ssh
  k3s-vm ssh -- journalctl -b -u containerd")]
    Ssh {
        /// The command; the guest's shell reads it
        #[arg(trailing_var_arg = true, value_name = "CMD")]
        command: Vec<String>,
    },
    /// Destroy the cluster with its data and start a new one
    ///
    /// Ends what is left of former runs, too, and VMs whose project is gone. Configuration, manifests and built guest
    /// images stay.
    #[command(after_long_help = "\
Examples:
  k3s-vm reset
  k3s-vm reset --rebuild    The guest image is built anew, too")]
    Reset {
        /// Build the guest image anew, from the parts in the cache; other instances keep the one they have
        #[arg(long)]
        rebuild: bool,
        #[command(flatten)]
        start: StartArgs,
    },
    /// Apply the manifests and the web application's variables, without rebuilding
    ///
    /// Container images of the configuration are loaded first; pods are replaced only where something changed. Objects
    /// that have left the manifests are deleted, but for namespaces, volumes and definitions of kinds.
    #[command(after_long_help = "\
Examples:
  k3s-vm apply
  k3s-vm apply --dry-run     What would change, as a diff; nothing is written
  k3s-vm apply --watch       Apply whenever manifests or variables are saved
  k3s-vm apply -o json       Every object with what happened to it
  k3s-vm apply --kubeconfig ~/.kube/config --context staging
                             To another cluster; no VM is needed")]
    Apply(ApplyArgs),
    /// Show the console of the VM and the words of QEMU
    #[command(after_long_help = "\
Examples:
  k3s-vm logs -n 50
  k3s-vm logs -f
  k3s-vm logs --previous    The run before: why it failed")]
    Logs {
        /// Go on with what is added, until the VM stops
        #[arg(short, long)]
        follow: bool,
        /// Begin with the last N lines; all of them by default
        #[arg(short = 'n', long, value_name = "N")]
        lines: Option<usize>,
        /// Show the log of the run before, or of N runs ago; those of three are kept
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
        /// Write what the guest wrote as it is, escape sequences included, also to a terminal
        #[arg(long)]
        raw: bool,
    },
    /// Load container images from a docker or OCI archive into the cluster
    #[command(after_long_help = "\
Examples:
  k3s-vm load web.tar
  docker save local/web:dev | k3s-vm load -")]
    Load {
        /// The archive, or `-` for the standard input
        #[arg(value_name = "FILE")]
        archive: PathBuf,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Show what is configured, and where each value is from
    ///
    /// A flag counts before a variable (`K3S_VM_PORTS_API` for `ports.api`), a variable before `.k3s-vm/config.toml`,
    /// the file before the default.
    #[command(
        subcommand,
        after_long_help = "\
Examples:
  k3s-vm config show
  k3s-vm config show --set vm.memory=4GiB -o json
  k3s-vm config schema > .k3s-vm/config.schema.json"
    )]
    Config(ConfigVerb),
    /// Look after what NixOS guests are made from
    #[command(subcommand)]
    Nix(NixVerb),
    /// Run kubectl on the cluster; the arguments are passed on untouched
    #[command(
        disable_help_flag = true,
        after_long_help = "\
Examples:
  k3s-vm kubectl get nodes
  k3s-vm kubectl -- exec -it deploy/web -- /web resolve kubernetes.default.svc"
    )]
    Kubectl {
        /// The arguments of kubectl
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
        arguments: Vec<OsString>,
    },
    /// Make another instance of the project and start it, from the template or a snapshot
    ///
    /// It has a disk, ports and a kubeconfig of its own; `--name NAME` after any verb means it.
    #[command(after_long_help = "\
Examples:
  k3s-vm clone two
  k3s-vm clone two --from before-migration
  k3s-vm kubectl --name two get pods")]
    Clone(CloneArgs),
    /// Run a command with a cluster of its own, which is gone when the command ends
    ///
    /// The command gets KUBECONFIG, KUBECONFIG_PRIMARY, WEB_URL, WEB_PORT, API_URL, API_PORT, SSH_PORT, K3S_VM_NAME and
    /// K3S_VM_PROJECT. Its exit code is passed on. Many can run at once.
    #[command(after_long_help = "\
Examples:
  k3s-vm run -- npm test
  k3s-vm run --from seeded -- sh -c 'curl -fsS $WEB_URL'
  k3s-vm run --hold -o json    For test libraries: one line of JSON, then it stays until its input ends")]
    Run(RunArgs),
    /// Destroy the instance with its data; snapshots, templates and built images stay
    #[command(after_long_help = "\
Examples:
  k3s-vm delete --name two
  k3s-vm delete --all")]
    Delete {
        /// All instances of the project
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Keep states of the cluster by name, and put it back to them
    ///
    /// A snapshot is RAM and disk of the whole VM. It stays until it is removed, and every instance of the project can be
    /// put back to it.
    #[command(
        subcommand,
        after_long_help = "\
Examples:
  k3s-vm snapshot save seeded
  k3s-vm snapshot list
  k3s-vm snapshot restore seeded
  k3s-vm snapshot rm seeded"
    )]
    Snapshot(SnapshotVerb),
    /// List the instances, templates and snapshots of the project with what they take
    #[command(after_long_help = "\
Examples:
  k3s-vm list
  k3s-vm list -o json")]
    List(OutputArgs),
    /// Fill the pool of forks; `run` and `start` start it
    #[command(hide = true)]
    PoolFill,
    /// Give back the space of what nothing can use any more
    ///
    /// Templates that do not fit, what killed commands left, and, in the cache that projects share, guest images that no
    /// project uses and old downloads. Instances and snapshots stay.
    #[command(after_long_help = "\
Examples:
  k3s-vm prune --dry-run
  k3s-vm prune")]
    Prune {
        /// Tell what would be removed, and remove nothing
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Destroy the instance when the standard input ends; `run` starts it
    #[command(hide = true)]
    Reaper,
}

/// Flags of `clone`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct CloneArgs {
    /// The name of the new instance
    #[arg(value_name = "NAME", value_parser = super::parse_name)]
    pub(crate) new: InstanceName,
    /// Begin as the snapshot SNAPSHOT
    #[arg(long, value_name = "SNAPSHOT")]
    pub(crate) from: Option<String>,
    #[command(flatten)]
    pub(crate) start: StartArgs,
}

/// Flags of `run`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct RunArgs {
    /// Begin as the snapshot SNAPSHOT
    #[arg(long, value_name = "SNAPSHOT")]
    pub(crate) from: Option<String>,
    /// Run nothing: tell where the cluster is, and keep it until the standard input ends
    #[arg(long, conflicts_with = "command")]
    pub(crate) hold: bool,
    /// Fail when the cluster is not ready after DURATION, for example 90s or 15m
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) timeout: Option<Duration>,
    /// The command and its arguments
    #[arg(last = true, value_name = "CMD", required_unless_present = "hold")]
    pub(crate) command: Vec<OsString>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    // Its heading would be that of whatever stands after it.
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}
