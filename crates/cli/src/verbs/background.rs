//! The hidden verbs of background processes, and the command lines by which this program starts them.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use clap::Subcommand;
use lifecycle::Context;
use lifecycle::background::BackgroundTask;
use lifecycle::fork::{fill, reaper};
use lifecycle::supervisor::run::Supervisor;
use model::instance::InstanceName;
use model::paths::ProjectPaths;
use model::{Error, ErrorClass, Result};

use crate::args::{Globals, NAME_VARIABLE, parse_duration};
use crate::environment;
use crate::output::Output;

/// The hidden verbs.
#[derive(Debug, PartialEq, Eq, Subcommand)]
pub(crate) enum Arguments {
    /// Supervise the VM whose directory is the working directory
    #[command(hide = true)]
    Supervisor {
        /// Pause the guest after DURATION without a connection
        #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
        auto_pause: Option<Duration>,
        /// The guest is paused, and standard input is the wake line from QEMU
        #[arg(long)]
        paused: bool,
    },
    /// Destroy the instance when standard input ends
    #[command(hide = true)]
    Reaper,
    /// Fill the warm pool
    #[command(hide = true)]
    FillWarmPool,
}

/// The command that does a task in a session of its own: what the hidden verbs parse.
///
/// # Errors
/// The error of finding this program.
pub(crate) fn command(project: &Path, task: BackgroundTask<'_>) -> io::Result<Command> {
    let mut command = host::background::command(std::env::current_exe()?);
    command.args(words(project, task));
    // It names the instance of this process, and the command line names that of the other one.
    command.env_remove(NAME_VARIABLE);
    Ok(command)
}

fn words(project: &Path, task: BackgroundTask<'_>) -> Vec<OsString> {
    let (verb, instance) = match task {
        BackgroundTask::Supervisor { instance, .. } => ("supervisor", Some(instance)),
        BackgroundTask::Reaper { instance } => ("reaper", Some(instance)),
        BackgroundTask::FillWarmPool => ("fill-warm-pool", None),
    };
    // The supervisor does not read the project's path, but whoever lists processes does.
    let mut words: Vec<OsString> = vec![verb.into(), "--quiet".into(), "--project".into(), project.into()];
    if let Some(name) = instance.and_then(InstanceName::suffix) {
        words.extend(["--name".into(), name.into()]);
    }
    if let BackgroundTask::Supervisor { auto_pause, paused, .. } = task {
        if let Some(idle) = auto_pause {
            words.extend(["--auto-pause".into(), humantime::format_duration(idle).to_string().into()]);
        }
        if paused {
            words.push("--paused".into());
        }
    }
    words
}

/// Runs the reaper. It reads no configuration: that may be wrong by now, and the instance has to go all the same.
///
/// # Errors
/// As [`reaper::reap`].
pub(crate) fn reap(globals: &Globals, instance: &InstanceName, output: &Output) -> Result<()> {
    reaper::reap(&environment::project_paths(globals)?, instance, io::stdin().lock(), output.events())
}

/// Runs the supervisor. It reads no configuration either: its arguments say what it needs.
///
/// # Errors
/// As [`Supervisor::run`].
pub(crate) fn supervise(
    instance: &InstanceName,
    auto_pause: Option<Duration>,
    paused: bool,
    output: &Output,
) -> Result<()> {
    // Relative to the working directory, which stays right when the project is moved.
    let root = match instance.suffix() {
        None => "../..",
        Some(_) => "../../../..",
    };
    let paths = ProjectPaths::new(root).instance(instance);
    let line = match paused {
        false => None,
        true => Some(io::stdin().as_fd().try_clone_to_owned().map_err(|error| {
            Error::new(ErrorClass::Failed, "the wake line from QEMU cannot be used").because(error)
        })?),
    };
    Supervisor { paths, auto_pause, events: output.events() }.run(line)
}

/// Fills the warm pool.
///
/// # Errors
/// As [`fill::run`].
pub(crate) fn fill_warm_pool(context: &Context<'_>) -> Result<()> {
    fill::run(context)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command_line::{Invocation, Verb};

    fn parsed(task: BackgroundTask<'_>) -> Invocation {
        let words = words(Path::new("/my shop"), task);
        Invocation::parse(std::iter::once("k3s-vm".into()).chain(words)).unwrap()
    }

    #[test]
    fn the_hidden_verbs_parse_the_command_lines_of_their_tasks() {
        let two = InstanceName::with_suffix("two").unwrap();
        let idle = Some(Duration::from_secs(600));
        for (task, verb, name) in [
            (
                BackgroundTask::Supervisor { instance: &two, auto_pause: idle, paused: true },
                Arguments::Supervisor { auto_pause: idle, paused: true },
                Some(&two),
            ),
            (
                BackgroundTask::Supervisor { instance: &InstanceName::default(), auto_pause: None, paused: false },
                Arguments::Supervisor { auto_pause: None, paused: false },
                None,
            ),
            (BackgroundTask::Reaper { instance: &two }, Arguments::Reaper, Some(&two)),
            (BackgroundTask::FillWarmPool, Arguments::FillWarmPool, None),
        ] {
            let invocation = parsed(task);
            assert_eq!(invocation.globals.project.as_deref(), Some(Path::new("/my shop")));
            assert_eq!((&invocation.verb, invocation.instance()), (&Verb::Background(verb), name));
        }
    }

    #[test]
    fn the_supervisor_of_the_default_instance_took_the_name_of_its_parents_variable() {
        let task = BackgroundTask::Supervisor { instance: &InstanceName::default(), auto_pause: None, paused: false };
        let command = command(Path::new("/p"), task).unwrap();
        assert!(command.get_envs().any(|(name, value)| name == NAME_VARIABLE && value.is_none()));
    }
}
