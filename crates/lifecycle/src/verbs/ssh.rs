//! `ssh`: a shell or a command in the guest, through the system's ssh with the instance's own configuration.

use std::ffi::OsString;

use model::Result;

use crate::context::Context;
use crate::instance::awake;
use crate::instance::files::{SSH_ALIAS, follow_directory};
use crate::instance::observe::{Observed, not_running, observe};

pub use crate::instance::ssh::Replacement;

/// The ssh that runs `command` in the guest, or a login shell where `command` is empty.
///
/// # Errors
/// A State error when the instance does not run.
pub fn run(context: &Context<'_>, command: &[String]) -> Result<Replacement> {
    match observe(context)? {
        Observed::Running(running) => {
            follow_directory(&context.paths(), &running.state_file.ports())?;
            awake::ensure_supervised(context)?;
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
