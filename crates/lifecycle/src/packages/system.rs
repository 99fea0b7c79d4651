//! The host as an installation needs it: its release, its search path and the way to become root.

use std::ffi::{OsStr, OsString};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use host::command::{Command, quote};
use model::{Error, ErrorClass, EventSink, Result};

/// The way to become root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Privilege {
    /// This user is root.
    Root,
    /// There is sudo.
    Sudo,
    /// There is no way.
    Ordinary,
}

/// The host.
#[derive(Debug, Clone)]
pub(super) struct System {
    /// Where to look for programs, instead of the PATH of this process.
    pub(super) search_path: Option<OsString>,
    /// The text of os-release(5).
    pub(super) os_release: String,
    pub(super) privilege: Privilege,
    /// Whether the user can type a password.
    pub(super) terminal: bool,
    /// The directory of apt's lists of packages.
    pub(super) apt_lists: PathBuf,
    /// How long the package manager may take.
    pub(super) deadline: Duration,
}

impl System {
    /// Describes this host.
    ///
    /// # Errors
    /// When os-release(5) is there but cannot be read.
    pub(super) fn of_this_host(deadline: Duration) -> Result<Self> {
        let mut os_release = None;
        for path in ["/etc/os-release", "/usr/lib/os-release"] {
            os_release = os_release.or(host::files::read_text_optional(Path::new(path))?);
        }
        let privilege = if rustix::process::geteuid().is_root() {
            Privilege::Root
        } else if host::tools::find("sudo").is_some() {
            Privilege::Sudo
        } else {
            Privilege::Ordinary
        };
        Ok(System {
            search_path: None,
            os_release: os_release.unwrap_or_default(),
            privilege,
            terminal: std::io::stdin().is_terminal() && std::io::stderr().is_terminal(),
            apt_lists: PathBuf::from("/var/lib/apt/lists"),
            deadline,
        })
    }

    /// The path of `program`.
    pub(super) fn find(&self, program: &OsStr) -> Option<PathBuf> {
        match &self.search_path {
            Some(path) => host::tools::find_in(program, path),
            None => program.to_str().and_then(host::tools::find),
        }
    }

    /// The line that a user types to run `program` as root.
    pub(super) fn by_hand(&self, program: &str, arguments: &[String]) -> String {
        let words: Vec<String> = arguments.iter().map(|argument| quote(OsStr::new(argument))).collect();
        let line = format!("{program} {}", words.join(" "));
        match self.privilege {
            Privilege::Root => line,
            Privilege::Sudo => format!("sudo {line}"),
            Privilege::Ordinary => format!("su -c {}", quote(OsStr::new(&line))),
        }
    }

    /// The output of `apt-cache policy`, with the suites that apt knows; empty where it fails.
    pub(super) fn policy(&self) -> String {
        let command = Command::new("apt-cache").arg("policy").env("LC_ALL", "C");
        self.with_search_path(command).deadline(Duration::from_secs(60)).run().unwrap_or_default()
    }

    /// A command that runs as root, asks nothing and prints English, so that its output can be parsed.
    pub(super) fn privileged(&self, program: &str, arguments: Vec<String>) -> Command {
        // sudo clears the environment, so env(1) sets it behind sudo.
        let words = ["env", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C", program];
        let command = match self.privilege {
            Privilege::Sudo => Command::new("sudo").arg("-n").args(words),
            Privilege::Root | Privilege::Ordinary => Command::new(words[0]).args(&words[1..]),
        };
        self.with_search_path(command.args(arguments))
    }

    /// Has the user type the password for sudo, if it needs one, so that [`System::privileged`] is not asked for it.
    ///
    /// # Errors
    /// A Host error where this user cannot become root.
    pub(super) fn authorize(&self, events: &dyn EventSink) -> Result<()> {
        match self.privilege {
            Privilege::Root => return Ok(()),
            Privilege::Ordinary => {
                return Err(Error::new(ErrorClass::Host, "only root can install packages")
                    .because("this user is not root, and sudo is not installed"));
            }
            Privilege::Sudo => {}
        }
        let quick = self.with_search_path(Command::new("sudo").args(["-n", "true"]));
        if quick.deadline(Duration::from_secs(30)).output()?.code == 0 {
            return Ok(());
        }
        if !self.terminal {
            return Err(
                Error::new(ErrorClass::Host, "sudo asks for a password").because("there is no terminal to type it on")
            );
        }
        events.note("sudo asks for your password to install packages".to_owned());
        if self.type_password() {
            Ok(())
        } else {
            Err(Error::new(ErrorClass::Host, "sudo refused").because("`sudo -v` did not succeed"))
        }
    }

    /// Runs `sudo -v` in the foreground, unlike every other command: sudo reads the password from the terminal, which a
    /// background process group cannot. Its deadline is sudo's own (`passwd_timeout` of sudoers(5)).
    fn type_password(&self) -> bool {
        let Some(sudo) = self.find(OsStr::new("sudo")) else { return false };
        std::process::Command::new(sudo)
            .arg("-v")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }

    fn with_search_path(&self, command: Command) -> Command {
        match &self.search_path {
            Some(path) => command.env("PATH", path),
            None => command,
        }
    }
}
