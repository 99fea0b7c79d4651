//! The command line: verbs, flags, environment variables and their help.
//!
//! It says what may be typed and what was typed; what a verb does is not here.

pub(crate) mod config;
mod forward;
mod snapshot;
mod verb;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::error::ErrorKind;
use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand, ValueEnum};

use config::ConfigArgs;
pub(crate) use forward::{ForwardVerb, SupervisorArgs};
use model::instance::InstanceName;
pub(crate) use snapshot::SnapshotVerb;
pub(crate) use verb::{RunArgs, Verb};

const EXAMPLES: &str = "\
Examples:
  k3s-vm                        Build what is missing, start, wait until the web application answers
  k3s-vm apply                  Apply changed manifests and variables to the running cluster
  k3s-vm kubectl get pods -A    Talk to the cluster
  k3s-vm stop                   Suspend; the next start goes on where it is
  k3s-vm reset                  Throw the data away and start anew";

const EXIT_CODES: &str = "\
Exit codes:
  0  done                            5  the guest or its QEMU died
  1  failed                          6  a port is held by somebody else
  2  wrong usage or configuration    7  the cluster refused a request
  3  the verb does not fit the state 69 the host lacks something
  4  a deadline passed               130 interrupted
  `ssh` and `kubectl` pass on the exit code of what they run.";

/// What was typed.
#[derive(Debug, Parser)]
#[command(
    name = "k3s-vm",
    version,
    about = "Give a project a real Kubernetes cluster in a VM of its own",
    long_about = "Give a project a real Kubernetes cluster in a VM of its own\n\nWithout a verb it starts the cluster, \
                  and builds first what is missing. A project is a directory that holds `.k3s-vm/`.",
    after_help = EXAMPLES,
    after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"),
    subcommand_value_name = "VERB",
    subcommand_help_heading = "Verbs",
    disable_help_subcommand = true
)]
struct CommandLine {
    #[command(flatten)]
    start: StartArgs,
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    verb: Option<Verb>,
}

/// What was typed, with the verb that runs when none was named.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Invocation {
    /// Flags that every verb takes.
    pub(crate) globals: Globals,
    /// The verb.
    pub(crate) verb: Verb,
}

impl Invocation {
    /// The instance that the verb is about; nothing for the project's default one.
    pub(crate) fn instance(&self) -> Option<&InstanceName> {
        match &self.verb {
            Verb::Clone(arguments) => Some(&arguments.new),
            _ => self.globals.name.as_ref(),
        }
    }

    /// Reads the arguments of the process (the first is the program) and the `K3S_VM_*` variables.
    ///
    /// # Errors
    /// What clap wants to say: a mistake, the help or the version; its `exit_code` is 2 or 0.
    pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let CommandLine { globals, start, verb } = CommandLine::try_parse_from(arguments)?;
        let verb = match verb {
            None => Verb::Start(start),
            Some(_) if start != StartArgs::default() => {
                return Err(CommandLine::command().error(
                    ErrorKind::ArgumentConflict,
                    "flags of `start` come after the verb: `k3s-vm start --timeout 5m`",
                ));
            }
            Some(verb) => verb,
        };
        Ok(Invocation { globals, verb })
    }
}

impl Verb {
    /// The flags of this verb that set keys of the configuration.
    pub(crate) fn config(&self) -> Option<&ConfigArgs> {
        match self {
            Verb::Start(start) | Verb::Reset { start, .. } => Some(&start.config),
            Verb::Clone(clone) => Some(&clone.start.config),
            Verb::Run(run) => Some(&run.config),
            Verb::Config(ConfigVerb::Show { config, .. }) => Some(config),
            _ => None,
        }
    }
}

/// The variables that begin as those of the configuration do and are read by this program itself.
pub(crate) fn own_variables() -> Vec<String> {
    let command = CommandLine::command();
    let flags = command.get_arguments().filter_map(|argument| argument.get_env());
    flags.map(|name| name.to_string_lossy().into_owned()).collect()
}

/// Flags that every verb takes, before or after it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Globals {
    /// Work on the project in DIR, not on the one around the working directory
    #[arg(long, global = true, value_name = "DIR", env = "K3S_VM_PROJECT", hide_env_values = true)]
    pub(crate) project: Option<PathBuf>,
    /// Work on the instance NAME, not on the project's default one; `list` shows them
    #[arg(long, global = true, value_name = "NAME", env = "K3S_VM_NAME", hide_env_values = true, value_parser = parse_name)]
    pub(crate) name: Option<InstanceName>,
    /// Tell every command, request and step
    #[arg(long, global = true, env = "K3S_VM_DEBUG", hide_env_values = true, value_parser = FalseyValueParser::new())]
    pub(crate) debug: bool,
    /// Set a key of the configuration for this run; `config show` lists all keys
    #[arg(long, global = true, value_name = "KEY=VALUE", value_parser = config::parse_set)]
    pub(crate) set: Vec<(String, String)>,
    /// Agree to the installation of host packages
    #[arg(short, long, global = true, env = "K3S_VM_YES", hide_env_values = true, value_parser = FalseyValueParser::new())]
    pub(crate) yes: bool,
    /// Tell only warnings and errors
    #[arg(short, long, global = true, env = "K3S_VM_QUIET", hide_env_values = true, value_parser = FalseyValueParser::new())]
    pub(crate) quiet: bool,
    /// Colour the output
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "WHEN",
        default_value_t,
        env = "K3S_VM_COLOR",
        hide_env_values = true
    )]
    pub(crate) color: ColorChoice,
    /// Tell progress as text for people or as one JSON object a line
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "FORMAT",
        default_value_t,
        env = "K3S_VM_EVENTS",
        hide_env_values = true
    )]
    pub(crate) events: Format,
}

/// When to colour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// For whom output is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Human,
    /// For programs
    Json,
}

/// Flags of `start`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub(crate) struct StartArgs {
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

/// What to do with the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub(crate) enum ConfigVerb {
    /// Show every key with its value and where that is from
    Show {
        #[command(flatten)]
        output: OutputArgs,
        #[command(flatten)]
        config: Box<ConfigArgs>,
    },
    /// Print the JSON Schema of `.k3s-vm/config.toml`, for editors
    Schema,
}

/// What to do for NixOS guests.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub(crate) enum NixVerb {
    /// Pin the newest nixpkgs of the channel that is followed
    ///
    /// Rewrites guest/nixos/nixpkgs.json of this checkout, with which all projects build. The next `reset` builds the
    /// image anew.
    Update(OutputArgs),
}

/// Whether and how long to wait for readiness.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Args)]
pub(crate) struct WaitArgs {
    /// Wait until the web application answers (the default)
    #[arg(long, overrides_with = "no_wait")]
    wait: bool,
    /// Return as soon as possible: `start` once the VM runs, `apply` once the cluster has taken the manifests
    #[arg(long, action = ArgAction::SetTrue, overrides_with = "wait")]
    no_wait: bool,
    /// Fail when it is not ready after DURATION, for example 90s or 15m
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) timeout: Option<Duration>,
}

impl WaitArgs {
    /// Whether to wait for readiness.
    pub(crate) fn waits(&self) -> bool {
        !self.no_wait
    }
}

/// Flags of `apply`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct ApplyArgs {
    /// Tell what would change as a diff, and write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Apply again whenever manifests, variables or configuration are saved, until Ctrl-C
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) watch: bool,
    /// Leave objects that have left the manifests in the cluster
    #[arg(long)]
    pub(crate) no_prune: bool,
    /// Take over fields that others have set, and objects of other projects
    #[arg(long)]
    pub(crate) force_conflicts: bool,
    /// Apply to the cluster of this kubeconfig, not to the project's VM; `$KUBECONFIG` is not looked at
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig; by default its current one
    #[arg(long, value_name = "NAME", requires = "kubeconfig")]
    pub(crate) context: Option<String>,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// How the result is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Args)]
pub(crate) struct OutputArgs {
    /// Write the result for people or as JSON
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t)]
    pub(crate) output: Format,
}

fn parse_name(text: &str) -> Result<InstanceName, String> {
    // An empty variable is how CI systems say "not set".
    match text {
        "" | InstanceName::DEFAULT => Ok(InstanceName::default()),
        suffix => InstanceName::with_suffix(suffix).map_err(|error| error.why().join("; ")),
    }
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if duration.is_zero() => Err("must be more than zero".to_owned()),
        Ok(duration) => Ok(duration),
        Err(_) => Err("not a duration such as 90s or 15m".to_owned()),
    }
}

#[cfg(test)]
#[path = "args_help_tests.rs"]
mod help_tests;
#[cfg(test)]
#[path = "args_tests.rs"]
mod tests;
