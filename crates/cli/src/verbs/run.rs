//! `run`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::{Command, ExitCode};
use std::time::Duration;

use clap::Args;
use host::foreground;
use lifecycle::Context;
use lifecycle::fork::run::{Fork, unused_name};
use lifecycle::start::{StartOptions, StartReport};
use model::instance::InstanceName;
use model::{ErrorClass, Result};
use serde::Serialize;

use crate::args::config::ConfigArgs;
use crate::args::{Format, NAME_VARIABLE, OutputArgs, parse_duration};
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  k3s-vm run -- npm test
  k3s-vm run --from seeded -- sh -c 'curl -fsS $WEB_URL'
  k3s-vm run --hold -o json    For test libraries: print one line of JSON, wait for EOF";

/// Run a command with a cluster of its own, which is destroyed when the command ends
///
/// Sets KUBECONFIG, KUBECONFIG_PRIMARY, WEB_URL, WEB_PORT, API_URL, API_PORT, SSH_PORT, K3S_VM_NAME and K3S_VM_PROJECT
/// for the command, and exits with its exit code. Many commands can run at once.
#[derive(Debug, PartialEq, Eq, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Start from the snapshot SNAPSHOT
    #[arg(long, value_name = "SNAPSHOT")]
    from: Option<String>,
    /// Run no command: print where the cluster answers, and keep it until standard input ends
    #[arg(long, conflicts_with = "command")]
    hold: bool,
    /// Fail if the cluster is not ready within DURATION, for example 90s or 15m
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    timeout: Option<Duration>,
    /// Command and its arguments
    #[arg(last = true, value_name = "CMD", required_unless_present = "hold")]
    command: Vec<OsString>,
    #[command(flatten)]
    output: OutputArgs,
    // Last, because its heading applies to all arguments after it.
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

/// The result of `run --hold`.
#[derive(Serialize)]
struct Held<'a> {
    #[serde(flatten)]
    report: &'a StartReport,
    /// The variables that a command would get.
    environment: BTreeMap<String, String>,
}

/// Runs the verb.
///
/// # Errors
/// As [`Fork::begin`]; Host when the command cannot be started.
pub(crate) fn run(context: &Context<'_>, arguments: &Arguments, output: &Output) -> Result<ExitCode> {
    // In a `run` within a `run`, the variable names the outer fork.
    let inherited = std::env::var(NAME_VARIABLE).ok().and_then(|name| InstanceName::with_suffix(&name).ok());
    let is_unnamed = context.name.suffix().is_none() || inherited.as_ref() == Some(&context.name);
    let context = context.with_name(if is_unnamed { unused_name()? } else { context.name.clone() });
    let options = StartOptions { wait: true, timeout: arguments.timeout };
    let fork = Fork::begin(&context, is_unnamed, arguments.from.as_deref(), options).map_err(|error| {
        match error.class() {
            // `begin` has waited for its reaper.
            ErrorClass::Interrupted => error.because("its cluster was destroyed"),
            _ => error,
        }
    })?;
    output.clear_live_lines();
    let code = if arguments.hold {
        hold(&fork, arguments.output, output)
    } else {
        let mut words = arguments.command.iter();
        let program = words.next().cloned().unwrap_or_else(|| OsString::from("true"));
        foreground::run(
            Command::new(program).args(words).envs(fork.environment.iter().map(|(name, value)| (name, value))),
        )
    };
    fork.end(&context)?;
    code.map(ExitCode::from)
}

/// Prints where the cluster answers, and waits until standard input ends.
fn hold(fork: &Fork, format: OutputArgs, output: &Output) -> Result<u8> {
    let text = |value: &OsString| value.to_string_lossy().into_owned();
    let environment = fork.environment.iter().map(|(name, value)| (text(name), text(value))).collect();
    match format.output {
        Format::Json => output.result_json_line(&Held { report: &fork.report, environment })?,
        Format::Human => {
            let lines = environment
                .iter()
                .map(|(name, value)| format!("export {name}={}\n", host::command::quote(value.as_ref())));
            output.result(&lines.collect::<String>())?;
        }
    }
    host::interrupt::until_end_of_input(std::io::stdin())?;
    Ok(0)
}
