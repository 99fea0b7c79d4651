//! The compatibility key: everything that must be equal for a saved state to be restored.
//!
//! QEMU itself checks little of it: it loads a state even with other devices or other disks than it was saved with.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use host::digest::Sha256;
use host::io_error::at_path;
use model::Result;
use serde::{Deserialize, Serialize};

use crate::{Accelerator, Machine, Qemu, Version, argv};

/// The file that describes the host's CPU (proc(5)).
const CPU_INFO: &str = "/proc/cpuinfo";

/// Everything that a saved state depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CompatibilityKey {
    version: Version,
    qemu: FileStamp,
    accelerator: Accelerator,
    distribution: String,
    kernel: FileStamp,
    initrd: FileStamp,
    base_disk: FileStamp,
    /// The host's CPU, where the guest sees it.
    host_cpu: Option<String>,
    /// Machine type, accelerator, CPU, memory, devices, kernel command line.
    arguments: Vec<String>,
}

/// Detects that a file was written. It has no device and inode number: those may change when the host boots or a cache is
/// moved. Beside saved RAM it shows whether the disk is still the one that the RAM belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStamp {
    path: PathBuf,
    size: u64,
    modified: (i64, i64),
}

impl CompatibilityKey {
    /// The key of a machine. `base_disk` is the guest image's disk, on which the machine's disk is an overlay; `distribution`
    /// is what runs in the guest, with its version.
    ///
    /// # Errors
    /// An error when one of the files cannot be examined.
    pub fn of(qemu: &Qemu, machine: &Machine, base_disk: &Path, distribution: &str) -> Result<Self> {
        let host_cpu = match machine.accelerator {
            Accelerator::Tcg => None,
            Accelerator::Kvm => {
                let path = Path::new(CPU_INFO);
                let text = std::fs::read_to_string(path).map_err(|error| at_path("read", path, &error))?;
                Some(cpu(&text))
            }
        };
        Ok(CompatibilityKey {
            version: qemu.version,
            qemu: FileStamp::of(&qemu.program)?,
            accelerator: machine.accelerator,
            distribution: distribution.to_owned(),
            kernel: FileStamp::of(&machine.kernel)?,
            initrd: FileStamp::of(&machine.initrd)?,
            base_disk: FileStamp::of(base_disk)?,
            host_cpu,
            arguments: argv::lasting_arguments(machine),
        })
    }

    /// The version of QEMU.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The accelerator.
    pub(crate) fn accelerator(&self) -> Accelerator {
        self.accelerator
    }

    /// Whether the pods may reach the host's loopback.
    pub fn host_access(&self) -> bool {
        host_access(&self.arguments).unwrap_or(true)
    }

    /// A digest of the compatibility key: 32 hexadecimal digits.
    pub fn key(&self) -> String {
        // Texts and numbers in the order of the fields: there is one form, and serialising it cannot fail.
        let text = serde_json::to_vec(self).unwrap_or_default();
        format!("{:.32}", Sha256::of(&text).to_string())
    }

    /// The most telling difference to `now`, as a part of a sentence; `None` where the keys are equal.
    pub fn difference(&self, now: &Self) -> Option<String> {
        if self.version != now.version {
            return Some(format!("QEMU was {} and is {}", self.version, now.version));
        }
        if self.accelerator != now.accelerator {
            return Some(format!(
                "it ran under {} and is to run under {}",
                self.accelerator.name(),
                now.accelerator.name()
            ));
        }
        if self.distribution != now.distribution {
            return Some(format!("the cluster was {} and is to be {}", self.distribution, now.distribution));
        }
        for (what, then, now) in [
            ("QEMU's program", &self.qemu, &now.qemu),
            ("the guest's kernel", &self.kernel, &now.kernel),
            ("the guest's initial RAM disk", &self.initrd, &now.initrd),
            ("the guest image's disk", &self.base_disk, &now.base_disk),
        ] {
            if then.path != now.path {
                return Some(format!("{what} was {} and is {}", then.path.display(), now.path.display()));
            }
            if then != now {
                return Some(format!("{what}, {}, has changed", now.path.display()));
            }
        }
        if self.host_cpu != now.host_cpu {
            return Some("the host's CPU is another one".to_owned());
        }
        argument_difference(&self.arguments, &now.arguments)
    }
}

/// Whether pods may reach the host's loopback; `None` in the arguments of a version without this option.
fn host_access(arguments: &[String]) -> Option<bool> {
    [true, false].into_iter().find(|open| arguments.contains(&argv::host_access(*open)))
}

/// The first option that differs.
fn argument_difference(then: &[String], now: &[String]) -> Option<String> {
    let at = then.iter().zip(now).position(|(then, now)| then != now);
    let at = at.or_else(|| (then.len() != now.len()).then_some(then.len().min(now.len())))?;
    if let (Some(then), Some(now)) = (host_access(then), host_access(now))
        && then != now
    {
        return Some(format!("guest.host_access was {then} and is {now}"));
    }
    let option = now[..at.min(now.len())].iter().rev().find(|word| word.starts_with('-'));
    let option = option.map_or("QEMU's arguments", String::as_str);
    match (then.get(at), now.get(at)) {
        (Some(then), Some(now)) if !then.starts_with('-') && !now.starts_with('-') => {
            Some(format!("{option} was {then} and is {now}"))
        }
        (Some(then), _) => Some(format!("the VM had {then}, and no longer has it, or has it elsewhere")),
        (None, now) => Some(format!("the VM had no {}", now.map_or("option", String::as_str))),
    }
}

/// The properties of the first CPU in `/proc/cpuinfo` that a guest with the host's CPU can see.
fn cpu(text: &str) -> String {
    let lines = text.lines().take_while(|line| !line.trim().is_empty());
    let wanted = ["vendor_id", "cpu family", "model", "model name", "stepping", "microcode", "flags"];
    let visible = lines.filter(|line| {
        let name = line.split(':').next().unwrap_or_default().trim();
        wanted.contains(&name)
    });
    visible.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>().join("; ")
}

impl FileStamp {
    /// The present stamp of the file.
    ///
    /// # Errors
    /// An error that names the path.
    pub fn of(path: &Path) -> Result<Self> {
        let look = || path.canonicalize().and_then(|path| path.metadata().map(|metadata| (path, metadata)));
        let (path, metadata) = look().map_err(|error| at_path("look at", path, &error))?;
        Ok(FileStamp { path, size: metadata.size(), modified: (metadata.mtime(), metadata.mtime_nsec()) })
    }
}

#[cfg(test)]
pub(super) mod tests;
