//! The user that builds a guest's tree: root, or root in a user namespace of an ordinary user.
//!
//! Files of the guest belong to several users. Either way they get these owners without a mount.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use host::command::Command;
use model::{Error, ErrorClass, Result};

/// Not taken from `timeouts.build`, since a tree is also removed when that time is over. A slow disk needs minutes for
/// its tens of thousands of files.
const REMOVAL_DEADLINE: Duration = Duration::from_secs(600);

/// The user that runs the tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TreeOwner {
    /// The user of this process, who is root.
    Root,
    /// Root in a user namespace: the user's own uid. The namespace's other uids come from `/etc/subuid`.
    UserNamespace,
}

impl TreeOwner {
    /// The owner for this process, after a test that it works.
    ///
    /// # Errors
    /// A Host error if an ordinary user has no subordinate uids or may not create a user namespace.
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

    /// The owner for this process, without a test; for the list of required programs.
    pub(crate) fn expected() -> Self {
        if rustix::process::geteuid().is_root() { TreeOwner::Root } else { TreeOwner::UserNamespace }
    }

    /// The value of mmdebstrap's `--mode`.
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
                // unshare only searches PATH, which may lack the sbin directories.
                let program = host::tools::find(program).map_or_else(|| program.into(), OsString::from);
                Command::new("unshare").args(["--map-root-user", "--map-auto", "--"]).arg(program)
            }
        }
        .args(arguments)
    }

    /// Removes a directory that may contain files of the tree's users. Succeeds if it does not exist.
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
    fn a_host_without_namespaces_is_an_error_with_next_steps() {
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
