//! `ssh`: a shell or a command in the guest, through the system's ssh with the instance's own configuration.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use host::command::Command;
use model::paths::InstancePaths;
use model::{Error, ErrorClass, Result};
use qemu::agent::GuestScript;

use crate::context::Context;
use crate::instance::awake;
use crate::instance::files::{SSH_ALIAS, follow_directory};
use crate::instance::observe::{Observed, not_running, observe};

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
/// A State error when the instance does not run.
pub fn run(context: &Context<'_>, command: &[String]) -> Result<Replacement> {
    match observe(context)? {
        Observed::Running(running) => {
            follow_directory(&context.paths(), &running.state_file.ports())?;
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

/// A script in the guest with `arguments` as `$1` and so on, whose output is captured.
///
/// # Errors
/// Failed for an argument that none can be.
pub(crate) fn guest_command(
    paths: &InstancePaths,
    script: GuestScript,
    arguments: &[&OsStr],
    deadline: Duration,
) -> Result<Command> {
    let connect = deadline.as_secs().clamp(1, 30);
    Ok(Command::new("ssh")
        .arg("-F")
        .arg(paths.ssh_config())
        .arg("-o")
        .arg(format!("ConnectTimeout={connect}"))
        .arg(SSH_ALIAS)
        .arg("--")
        .arg(guest_line(script, arguments)?)
        .deadline(deadline))
}

/// The line for ssh, which hands it to the login shell of the guest: the only place where something becomes a part of a
/// shell's text, each word quoted.
///
/// # Errors
/// Failed for an argument that none can be.
pub(crate) fn guest_line(script: GuestScript, arguments: &[&OsStr]) -> Result<OsString> {
    let fixed = ["exec", "/bin/sh", "-c", script.text(), "sh"].map(OsStr::new);
    host::command::line_of(fixed.into_iter().chain(arguments.iter().copied())).ok_or_else(|| {
        Error::new(ErrorClass::Failed, "an argument for the guest cannot be passed on").because("it has a NUL in it")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_that_is_a_script_stays_an_argument() {
        let script = GuestScript::new("cat \"$1\"");
        let line = guest_line(script, &[OsStr::new("'; touch /root/pwned; '"), OsStr::new("a")]).unwrap();
        insta::assert_snapshot!(line.display(), @r#"exec /bin/sh -c 'cat "$1"' sh "'; touch /root/pwned; '" a"#);
        assert!(guest_line(script, &[OsStr::new("\0")]).is_err());
    }
}
