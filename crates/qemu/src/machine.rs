//! What a VM is made of, as data. It starts nothing and looks at nothing.

use std::fmt;
use std::path::{Path, PathBuf};

use model::instance::InstanceName;
use model::port::Port;
use model::{BindAddress, Error, ErrorClass, Result};
use serde::{Deserialize, Serialize};

use crate::version::Version;

/// What executes the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accelerator {
    /// QEMU's own translation, which works on every host.
    Tcg,
    /// The host's virtualisation.
    Kvm,
}

impl Accelerator {
    /// The name as QEMU's `-accel` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Accelerator::Tcg => "tcg",
            Accelerator::Kvm => "kvm",
        }
    }
}

/// A TCP port of the host that leads into the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forward {
    /// The host's address to listen on.
    pub bind: BindAddress,
    /// The host's port.
    pub host: Port,
    /// The guest's port.
    pub guest: u16,
}

impl fmt::Display for Forward {
    /// As `hostfwd` of QEMU's user network takes it (qemu-invocation(7), `-netdev user`).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tcp:{}:{}-:{}", self.bind, self.host, self.guest)
    }
}

/// A file that the guest reads at `/sys/firmware/qemu_fw_cfg/by_name/NAME/raw`. QEMU takes its content when it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirmwareFile {
    /// The name; QEMU wants `opt/` before names that are not its own.
    pub name: String,
    /// The file, absolute or relative to [`Machine::directory`].
    pub path: PathBuf,
}

/// Where the guest's RAM lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemoryBackend {
    /// Anonymous memory of QEMU's.
    Ram,
    /// That of a saved VM in this file, absolute or relative to [`Machine::directory`]. What the guest writes stays private.
    File(PathBuf),
}

/// A VM: everything that its command line depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// The name that the process shows as `-name`.
    pub name: InstanceName,
    /// The uuid that the process shows as `-uuid` and QMP reports: by it the process is known.
    pub uuid: String,
    /// QEMU writes its pid here and locks the file; an absolute path, which also tells an orphan's project.
    pub pid_file: PathBuf,
    /// QEMU's working directory, `InstancePaths::vm_dir`; the sockets are in it.
    pub directory: PathBuf,
    /// Of the QEMU that will run it; decides machine type and workarounds.
    pub version: Version,
    /// Whether that QEMU can put itself under its filter of system calls.
    pub sandbox: bool,
    /// What executes the guest.
    pub accelerator: Accelerator,
    /// Virtual CPUs.
    pub cpus: u32,
    /// RAM in bytes, a multiple of 1 MiB.
    pub memory: u64,
    /// Where the RAM lives.
    pub memory_backend: MemoryBackend,
    /// The Linux kernel.
    pub kernel: PathBuf,
    /// The initial RAM disk.
    pub initrd: PathBuf,
    /// The kernel command line.
    pub kernel_command_line: String,
    /// The qcow2 root disk, absolute or relative to [`Machine::directory`].
    pub disk: PathBuf,
    /// Ports of the host that lead into the guest.
    pub forwards: Vec<Forward>,
    /// Files for the guest.
    pub firmware_files: Vec<FirmwareFile>,
    /// Whether the guest lets its pods reach the host's loopback.
    pub host_access: bool,
}

impl Machine {
    /// What QEMU could not take and would tell in its own words only.
    ///
    /// # Errors
    /// A Config error for a path that its options cannot carry.
    pub fn check(&self) -> Result<()> {
        let memory = match &self.memory_backend {
            MemoryBackend::Ram => None,
            MemoryBackend::File(path) => Some(path),
        };
        match memory.into_iter().chain([&self.disk]).find(|path| path.to_str().is_none()) {
            None => Ok(()),
            Some(path) => Err(Error::new(ErrorClass::Config, format!("QEMU cannot open {}", path.display()))
                .because("its options carry only paths that are valid UTF-8")
                .next("rename the directory")),
        }
    }
}

/// The machine of the guest that tests an accelerator: that of the VM, without disk and network.
#[derive(Debug, Clone, Copy)]
pub struct ProbeMachine<'a> {
    /// The version of the QEMU that runs it; decides machine type and workarounds.
    pub version: Version,
    /// Whether that QEMU can filter its own system calls (`-sandbox`).
    pub sandbox: bool,
    /// The accelerator to test.
    pub accelerator: Accelerator,
    /// Virtual CPUs.
    pub cpus: u32,
    /// The VM's kernel.
    pub kernel: &'a Path,
    /// The VM's kernel command line.
    pub kernel_command_line: &'a str,
}

impl ProbeMachine<'_> {
    /// The value of `-name`.
    pub const NAME: &'static str = "k3s-vm-kvm-test";
    /// RAM in bytes: enough for every kernel, and available where the RAM of the VM may not be.
    pub const MEMORY: u64 = 256 << 20;
    /// The initial RAM disk, in QEMU's working directory.
    pub const INITRD: &'static str = "initrd";
}
