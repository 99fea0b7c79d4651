//! The QEMU of this host: its path, its version, and whether that is supported.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use host::command::Command;
use host::program_version;
use model::paths::CachePaths;
use model::requirement::Requirement;
use model::{Error, ErrorClass, EventSink, Result};
use serde::{Deserialize, Serialize};

use crate::sandbox;

/// The emulator.
pub const QEMU_SYSTEM: Requirement = Requirement {
    program: "qemu-system-x86_64",
    apt: "qemu-system-x86",
    dnf: "qemu-system-x86-core",
    pacman: "qemu-system-x86",
    purpose: "runs the VM",
};

/// The tool for disk images.
pub const QEMU_IMG: Requirement = Requirement {
    program: "qemu-img",
    apt: "qemu-utils",
    dnf: "qemu-img",
    pacman: "qemu-img",
    purpose: "makes the VM's disk",
};

/// The oldest supported QEMU: that of Debian 12.
pub const LEAST: Version = Version::new(7, 2, 0);

/// A version of QEMU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Version {
    /// 7 of 7.2.22.
    pub major: u32,
    /// 2 of 7.2.22.
    pub minor: u32,
    /// 22 of 7.2.22; 50 and more are development versions of the release that follows.
    pub micro: u32,
}

impl Version {
    /// The version `major.minor.micro`.
    pub const fn new(major: u32, minor: u32, micro: u32) -> Self {
        Version { major, minor, micro }
    }

    /// Reads what `qemu-system-x86_64 --version` prints.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = &text[text.find("QEMU emulator version ")?..];
        match host::tools::parse_version(rest)?.as_slice() {
            [major, minor, rest @ ..] => Some(Version::new(*major, *minor, rest.first().copied().unwrap_or(0))),
            _ => None,
        }
    }

    /// The newest versioned q35 machine type of this QEMU. After an upgrade of QEMU, the bare `q35` would be another machine,
    /// with another layout of saved device state.
    pub fn machine_type(self) -> String {
        // Development versions (x.y.50) have the machine type of the next release; after minor number 2 comes the next
        // major version.
        let (major, minor) = match (self.micro >= 50, self.minor) {
            (false, minor) => (self.major, minor),
            (true, minor) if minor >= 2 => (self.major + 1, 0),
            (true, minor) => (self.major, minor + 1),
        };
        format!("pc-q35-{major}.{minor}")
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.micro)
    }
}

/// The emulator of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Qemu {
    /// The program, an absolute path.
    pub program: PathBuf,
    /// Its version.
    pub version: Version,
    /// Whether it can filter its own system calls (`-sandbox`).
    pub sandbox: bool,
}

impl Qemu {
    /// Finds `qemu-system-x86_64` on this host; its version and its sandbox are tried where the cache does not have them.
    ///
    /// # Errors
    /// Host when it is not installed, does not run, or is older than [`LEAST`].
    pub fn find(cache: &CachePaths, events: &dyn EventSink) -> Result<Self> {
        match host::tools::find(QEMU_SYSTEM.program) {
            Some(program) => {
                let text = program_version::remembered(&program, cache, events, ask)?;
                let mut qemu = Self::of(program, &text)?;
                qemu.sandbox = sandbox::remembered(&qemu.program, cache, events)?;
                Ok(qemu)
            }
            None => Err(Error::new(ErrorClass::Host, format!("{} is not installed", QEMU_SYSTEM.program))
                .because(format!("it {}", QEMU_SYSTEM.purpose))
                .next("k3s-vm --yes    # installs it")
                .next(format!("apt-get install {}", QEMU_SYSTEM.apt))),
        }
    }

    /// The emulator at `program`; its version and its sandbox are tried.
    ///
    /// # Errors
    /// As [`Qemu::find`].
    pub fn at(program: PathBuf) -> Result<Self> {
        let text = ask(&program)?;
        let mut qemu = Self::of(program, &text)?;
        qemu.sandbox = sandbox::refusal(&qemu.program)?.is_none();
        Ok(qemu)
    }

    fn of(program: PathBuf, text: &str) -> Result<Self> {
        let version = Version::parse(text).ok_or_else(|| {
            Error::new(ErrorClass::Host, format!("{} is not QEMU", program.display()))
                .because(format!("its version reads: {}", text.lines().next().unwrap_or_default()))
                .next(format!("{} --version", program.display()))
        })?;
        if version < LEAST {
            return Err(too_old(&program, version));
        }
        Ok(Qemu { program, version, sandbox: false })
    }
}

fn ask(program: &Path) -> Result<String> {
    Command::new(program).arg("--version").deadline(Duration::from_secs(20)).run().map_err(|error| {
        error
            .as_reason_of(ErrorClass::Host, format!("{} does not run", program.display()))
            .next(format!("{} --version", program.display()))
    })
}

fn too_old(program: &std::path::Path, version: Version) -> Error {
    Error::new(ErrorClass::Host, format!("QEMU {version} at {} is too old", program.display()))
        .because(format!("{}.{} or newer is needed", LEAST.major, LEAST.minor))
        .next(format!("apt-get install {} (Debian 12, Ubuntu 23.04, or newer)", QEMU_SYSTEM.apt))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_distributions_print() {
        for (text, expected) in [
            ("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)\nCopyright (c)", Some((7, 2, 22))),
            ("QEMU emulator version 10.1.0 (qemu-10.1.0-3.fc43)", Some((10, 1, 0))),
            ("QEMU emulator version 9.2", Some((9, 2, 0))),
            ("qemu-img version 7.2.22", None),
            ("", None),
        ] {
            let version = Version::parse(text).map(|version| (version.major, version.minor, version.micro));
            assert_eq!(version, expected, "{text:?}");
        }
    }

    #[test]
    fn machine_type_follows_the_version() {
        for (version, expected) in [
            (Version::new(7, 2, 22), "pc-q35-7.2"),
            (Version::new(10, 0, 2), "pc-q35-10.0"),
            (Version::new(8, 1, 50), "pc-q35-8.2"),
            (Version::new(8, 2, 91), "pc-q35-9.0"),
        ] {
            assert_eq!(version.machine_type(), expected);
        }
    }

    #[test]
    fn a_version_that_is_too_old_is_reported_with_the_oldest_supported_one() {
        let error = too_old(std::path::Path::new("/usr/bin/qemu-system-x86_64"), Version::new(5, 2, 0));
        assert_eq!(error.class(), ErrorClass::Host);
        insta::assert_snapshot!(error, @"QEMU 5.2.0 at /usr/bin/qemu-system-x86_64 is too old: 7.2 or newer is needed");
    }
}
