//! `ssh`: a shell or a command in the guest, through the system's ssh with the instance's own configuration.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use host::command::Command;
use model::Result;
use model::paths::InstancePaths;

use crate::awake;
use crate::context::Context;
use crate::instance_files::{SSH_ALIAS, follow_folder};
use crate::observe::{Observed, not_running, observe};

/// A program that takes the place of this one (the caller executes it).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replacement {
    /// The program.
    pub program: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Variables to set.
    pub environment: Vec<(OsString, OsString)>,
    /// A file that becomes its standard input, which is otherwise that of this program.
    pub input: Option<PathBuf>,
}

/// The ssh that runs `command` in the guest, or a login shell where it is empty.
///
/// # Errors
/// A State fault when the instance does not run.
pub fn run(context: &Context<'_>, command: &[String]) -> Result<Replacement> {
    match observe(context)? {
        Observed::Running(running) => {
            follow_folder(&context.paths(), &running.record.ports())?;
            awake::ensure_kept(context)?;
        }
        Observed::Stopped | Observed::Absent | Observed::Orphan(_) => {
            return Err(not_running(context));
        }
    }
    let mut arguments: Vec<OsString> = vec!["-F".into(), context.paths().ssh_config().into(), SSH_ALIAS.into()];
    if !command.is_empty() {
        arguments.push("--".into());
        arguments.extend(command.iter().map(OsString::from));
    }
    Ok(Replacement { program: "ssh".into(), arguments, environment: Vec::new(), input: None })
}

/// A command in the guest whose output is captured; `script` is for the guest's shell.
pub(crate) fn guest_command(paths: &InstancePaths, script: &str, deadline: Duration) -> Command {
    let connect = deadline.as_secs().clamp(1, 30);
    Command::new("ssh")
        .arg("-F")
        .arg(paths.ssh_config())
        .arg("-o")
        .arg(format!("ConnectTimeout={connect}"))
        .arg(SSH_ALIAS)
        .arg("--")
        .arg(script)
        .deadline(deadline)
}

/// As [`guest_command`], with a file as its standard input.
pub(crate) fn guest_input(paths: &InstancePaths, script: &str, input: &Path, deadline: Duration) -> Command {
    guest_command(paths, script, deadline).input_file(input)
}
