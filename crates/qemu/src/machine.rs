//! The machines that QEMU runs, as data. It starts nothing and reads nothing.

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

/// What the guest's RAM is mapped from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemoryBackend {
    /// Anonymous memory of QEMU.
    Ram,
    /// A private mapping of a saved VM's RAM file, absolute or relative to [`Machine::directory`]: the guest does not
    /// change the file.
    File(PathBuf),
}

/// A VM: everything that QEMU's command line depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// The value of `-name`.
    pub name: InstanceName,
    /// The value of `-uuid`, which QMP reports too. It identifies the process.
    pub uuid: String,
    /// The file that QEMU locks and writes its pid to. The path is absolute, so that it also shows the project of an orphan.
    pub pid_file: PathBuf,
    /// QEMU's working directory (`InstancePaths::vm_dir`), which has the sockets.
    pub directory: PathBuf,
    /// The version of the QEMU that runs it; decides machine type and workarounds.
    pub version: Version,
    /// Whether that QEMU can filter its own system calls (`-sandbox`).
    pub sandbox: bool,
    /// The accelerator.
    pub accelerator: Accelerator,
    /// Virtual CPUs.
    pub cpus: u32,
    /// RAM in bytes, a multiple of 1 MiB.
    pub memory: u64,
    /// What the RAM is mapped from.
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
    /// Checks what QEMU would refuse in words that the user does not understand.
    ///
    /// # Errors
    /// Config for a path that QEMU's options cannot carry.
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
