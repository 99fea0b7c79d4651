//! As whom the guest's tree is handled: root, or the root of a user namespace of an ordinary user.
//!
//! Files of the guest belong to several users; both ways keep those owners without a mount.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use host::command::Command;
use model::{Error, ErrorClass, Result};

/// Not a part of `timeouts.build`: what a build leaves is removed when that time is over, too. A slow disk needs
/// minutes for the tens of thousands of files of a tree.
const REMOVAL_DEADLINE: Duration = Duration::from_secs(600);

/// As whom tools that handle the tree run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TreeOwner {
    /// The user is root.
    Root,
    /// The user's own uid is root in a namespace whose other users come from `/etc/subuid`.
    UserNamespace,
}

impl TreeOwner {
    /// The way for this user.
    ///
    /// # Errors
    /// A Host error where an ordinary user has no subordinate users or may not make a user namespace.
    pub(crate) fn of_user() -> Result<Self> {
        if rustix::process::geteuid().is_root() {
            return Ok(TreeOwner::Root);
        }
        let probe = TreeOwner::UserNamespace.command("true", []);
        match probe.output() {
            Ok(output) if output.code == 0 => Ok(TreeOwner::UserNamespace),
            Ok(output) => Err(no_namespace(&String::from_utf8_lossy(&output.stderr))),
            Err(error) => Err(no_namespace(&error.to_string())),
        }
    }

    /// The way for this user, without a look at whether it works; for the list of required programs.
    pub(crate) fn expected() -> Self {
        if rustix::process::geteuid().is_root() { TreeOwner::Root } else { TreeOwner::UserNamespace }
    }

    /// mmdebstrap's word for it.
    pub(crate) fn mmdebstrap_mode(self) -> &'static str {
        match self {
            TreeOwner::Root => "root",
            TreeOwner::UserNamespace => "unshare",
        }
    }

    /// `program` with `arguments`, run as the owner of the tree.
    pub(crate) fn command<const N: usize>(self, program: &str, arguments: [OsString; N]) -> Command {
        match self {
            TreeOwner::Root => Command::new(program),
            TreeOwner::UserNamespace => {
                // unshare looks along the user's PATH alone, which may lack the directories of system administration.
                let program = host::tools::find(program).map_or_else(|| program.into(), OsString::from);
                Command::new("unshare").args(["--map-root-user", "--map-auto", "--"]).arg(program)
            }
        }
        .args(arguments)
    }

    /// Removes a directory that may hold files of the tree's users; one that is not there is success.
    pub(crate) fn remove(self, path: &Path) -> Result<()> {
        match (self, host::files::remove(path)) {
            (TreeOwner::UserNamespace, Err(_)) => {
                let command = self.command("rm", ["-rf".into(), "--".into(), path.into()]);
                command.deadline(REMOVAL_DEADLINE).run().map(drop)
            }
            (_, result) => result,
        }
    }
}

fn no_namespace(why: &str) -> Error {
    Error::new(ErrorClass::Host, "an ordinary user cannot build the guest image on this host")
        .because(
            "that needs a user namespace with the users of /etc/subuid and /etc/subgid, and here it cannot be made",
        )
        .because(why.trim())
        .next("sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $USER")
        .next("or run the command again as root")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_run_as_the_owner_of_the_tree() {
        let line = |owner: TreeOwner| owner.command("/opt/tar", ["-x".into(), "-C".into(), "/a b".into()]).display();
        insta::assert_snapshot!(line(TreeOwner::Root), @"/opt/tar -x -C '/a b'");
        insta::assert_snapshot!(
            line(TreeOwner::UserNamespace),
            @"unshare --map-root-user --map-auto -- /opt/tar -x -C '/a b'"
        );
    }

    #[test]
    fn a_host_without_namespaces_is_told_what_to_type() {
        let error = no_namespace("unshare: unshare failed: Operation not permitted\n");
        insta::assert_snapshot!(error.next_steps().join("\n"), @r"
        sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $USER
        or run the command again as root
        ");
        insta::assert_snapshot!(error.why().join("\n"), @r"
        that needs a user namespace with the users of /etc/subuid and /etc/subgid, and here it cannot be made
        unshare: unshare failed: Operation not permitted
        ");
    }
}
