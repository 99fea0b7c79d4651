//! Command lines of ssh into the guest.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use host::command::Command;
use model::paths::InstancePaths;
use model::{Error, ErrorClass, Result};
use qemu::agent::GuestScript;

use crate::instance::files::SSH_ALIAS;

/// A program to execute in place of this one. The caller executes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replacement {
    /// The program.
    pub program: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Environment variables to set.
    pub environment: Vec<(OsString, OsString)>,
    /// A file that becomes its standard input; without one it inherits that of this program.
    pub input: Option<PathBuf>,
}

/// Runs `script` in the guest over ssh with `arguments` as `$1` and so on, within `deadline`.
///
/// # Errors
/// Failed for an argument that cannot be passed on.
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

/// The command line for ssh, which the guest's login shell interprets. Nothing else becomes part of a shell's text; each
/// word is quoted.
///
/// # Errors
/// Failed for an argument that cannot be passed on.
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
