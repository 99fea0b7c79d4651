//! `run`: a fork, the command that uses it, and the words between them.

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use host::foreground;
use lifecycle::Context;
use lifecycle::fork::run::{Fork, unused_name};
use lifecycle::start::{StartOptions, StartReport};
use model::instance::InstanceName;
use model::{Error, ErrorClass, Result};
use serde::Serialize;

use crate::args::{Format, RunArgs};
use crate::output::Output;

/// What `run --hold` tells.
#[derive(Serialize)]
struct Held<'a> {
    #[serde(flatten)]
    report: &'a StartReport,
    /// What a command would get.
    environment: std::collections::BTreeMap<String, String>,
}

/// Runs the command with a cluster of its own; its exit code.
///
/// # Errors
/// As `start`; Host when the command cannot be started.
pub(crate) fn run(context: &Context<'_>, arguments: RunArgs, output: &Output) -> Result<ExitCode> {
    // A fork within a fork is not to have the same name: the variable tells the outer one's.
    let inherited = std::env::var("K3S_VM_NAME").ok().and_then(|name| InstanceName::with_suffix(&name).ok());
    let is_unnamed = context.name.suffix().is_none() || inherited.as_ref() == Some(&context.name);
    let context = context.with_name(if is_unnamed { unused_name()? } else { context.name.clone() });
    let program = std::env::current_exe()
        .map_err(|error| Error::new(ErrorClass::Failed, "this program cannot be found").because(error))?;
    let root = context.project.paths.root().to_owned();
    let reaper = |name: &InstanceName| {
        let mut command = host::background::command(&program);
        command.arg("reaper").arg("--project").arg(&root).arg("--name").arg(name.suffix().unwrap_or_default());
        command
    };
    let options = StartOptions { wait: true, timeout: arguments.timeout };
    let fork = Fork::begin(&context, is_unnamed, arguments.from.as_deref(), options, &reaper).map_err(|error| {
        match error.class() {
            // Its reaper was waited for.
            ErrorClass::Interrupted => error.because("what was made of its cluster is destroyed"),
            _ => error,
        }
    })?;
    output.quieten();
    let code = if arguments.hold {
        hold(&fork, &arguments, output)
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

/// Tells where the cluster is, and waits until the standard input ends.
fn hold(fork: &Fork, arguments: &RunArgs, output: &Output) -> Result<u8> {
    let text = |value: &OsString| value.to_string_lossy().into_owned();
    let environment = fork.environment.iter().map(|(name, value)| (text(name), text(value))).collect();
    match arguments.output.output {
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
