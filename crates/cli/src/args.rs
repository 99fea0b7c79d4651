//! Flags that verbs share, and how their values are read.

pub(crate) mod config;

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{ArgAction, Args, Command, ValueEnum};
use model::instance::InstanceName;
use model::snapshot::SnapshotName;

/// The variable that names the instance, as `--name` does.
pub(crate) const NAME_VARIABLE: &str = "K3S_VM_NAME";

/// Flags that every verb takes, before or after it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Globals {
    /// Use the project in DIR instead of the one that contains the working directory
    #[arg(long, global = true, value_name = "DIR", env = "K3S_VM_PROJECT", hide_env_values = true)]
    pub(crate) project: Option<PathBuf>,
    /// Use the instance NAME instead of the project's default one; `list` shows all instances
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        env = NAME_VARIABLE,
        hide_env_values = true,
        value_parser = parse_name
    )]
    pub(crate) name: Option<InstanceName>,
    /// Print every command, request and step
    #[arg(long, global = true, env = "K3S_VM_DEBUG", hide_env_values = true, value_parser = FalseyValueParser::new())]
    pub(crate) debug: bool,
    /// Set a configuration key for this command; `config show` lists all keys
    #[arg(long, global = true, value_name = "KEY=VALUE", value_parser = config::parse_set)]
    pub(crate) set: Vec<(String, String)>,
    /// Install missing host packages without asking
    #[arg(short, long, global = true, env = "K3S_VM_YES", hide_env_values = true, value_parser = FalseyValueParser::new())]
    pub(crate) yes: bool,
    /// Print only warnings and errors
    #[arg(short, long, global = true, env = "K3S_VM_QUIET", hide_env_values = true, value_parser = FalseyValueParser::new())]
    pub(crate) quiet: bool,
    /// When to color the output
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
    /// Format of progress and errors on stderr
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

/// The variables that set a global flag. They share their prefix with those that set configuration keys.
pub(crate) fn own_variables() -> Vec<String> {
    let command = Globals::augment_args(Command::new("k3s-vm"));
    let variables = command.get_arguments().filter_map(|argument| argument.get_env());
    variables.map(|name| name.to_string_lossy().into_owned()).collect()
}

/// When to color the output.
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

/// The format of output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Text for people
    #[default]
    Human,
    /// JSON for programs
    Json,
}

/// The format of a result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Args)]
pub(crate) struct OutputArgs {
    /// Format of the result
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t)]
    pub(crate) output: Format,
}

/// Whether and how long to wait until the cluster is ready.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Args)]
pub(crate) struct WaitArgs {
    /// Wait until the web application answers (the default)
    #[arg(long, overrides_with = "no_wait")]
    wait: bool,
    /// Return early: `start` once the VM runs, `apply` once the cluster has accepted the manifests
    #[arg(long, action = ArgAction::SetTrue, overrides_with = "wait")]
    no_wait: bool,
    /// Fail if it is not ready within DURATION, for example 90s or 15m
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) timeout: Option<Duration>,
}

impl WaitArgs {
    /// Whether to wait until the cluster is ready.
    pub(crate) fn waits(&self) -> bool {
        !self.no_wait
    }
}

/// Reads the name of an instance.
///
/// # Errors
/// Why it is not a name.
pub(crate) fn parse_name(text: &str) -> Result<InstanceName, String> {
    // CI systems pass an empty variable for one that is not set.
    match text {
        "" | InstanceName::DEFAULT => Ok(InstanceName::default()),
        suffix => InstanceName::with_suffix(suffix).map_err(|error| error.why().join("; ")),
    }
}

/// Reads the name of a snapshot.
///
/// # Errors
/// Why it is not a name.
pub(crate) fn parse_snapshot(text: &str) -> Result<SnapshotName, String> {
    SnapshotName::new(text).map_err(|error| error.why().join("; "))
}

/// Reads a duration of more than zero.
///
/// # Errors
/// Why it is not one.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if duration.is_zero() => Err("must be more than zero".to_owned()),
        Ok(duration) => Ok(duration),
        Err(_) => Err("not a duration such as 90s or 15m".to_owned()),
    }
}
