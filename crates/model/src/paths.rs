//! The paths of all files and directories of a project, an instance and the cache, one method each.
//!
//! It computes paths and never checks whether they exist.

use std::path::{Path, PathBuf};

use crate::generation::Generation;
use crate::instance::InstanceName;
use crate::snapshot::SnapshotName;

/// A project: the directory that holds `.k3s-vm/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectPaths {
    root: PathBuf,
}

impl ProjectPaths {
    /// The directory that marks a project.
    pub const MARKER: &'static str = ".k3s-vm";

    /// The project at `root`, an absolute path.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        ProjectPaths { root: root.into() }
    }
    /// The project's directory.
    pub fn root(&self) -> &Path {
        &self.root
    }
    /// `.k3s-vm/`.
    pub fn state_dir(&self) -> PathBuf {
        self.root.join(Self::MARKER)
    }
    /// The configuration; the file is optional.
    pub fn config(&self) -> PathBuf {
        self.state_dir().join("config.toml")
    }
    /// Lists the files of `.k3s-vm/` that do not belong in version control.
    pub fn ignore_file(&self) -> PathBuf {
        self.state_dir().join(".gitignore")
    }
    /// The K3s release of the project, with its digests; meant for version control.
    pub fn k3s_lock(&self) -> PathBuf {
        self.state_dir().join("k3s.lock")
    }
    /// The user's part of the NixOS guest: made once, for the user to edit, meant for version control. `reset` keeps
    /// it.
    pub fn nix_configuration(&self) -> PathBuf {
        self.nix_directory().join("configuration.nix")
    }
    /// The settings of the NixOS guest from the configuration, written before each build.
    pub fn nix_settings(&self) -> PathBuf {
        self.nix_directory().join("settings.json")
    }
    /// The symbolic link from `nix-build` to the newest image.
    pub fn nix_result(&self) -> PathBuf {
        self.nix_directory().join("result")
    }
    /// The output of the last `nix-build`.
    pub fn nix_build_log(&self) -> PathBuf {
        self.state_dir().join("nix-build.log")
    }
    /// The directory of the NixOS guest's files, the same as that of the default instance's VM.
    pub fn nix_directory(&self) -> PathBuf {
        self.instance(&InstanceName::default()).vm_dir()
    }
    /// The project's `.env`, which has `WEB_PORT`.
    pub fn dot_env(&self) -> PathBuf {
        self.root.join(".env")
    }
    /// The directories of the named instances; the default instance is in [`ProjectPaths::state_dir`].
    pub fn instances(&self) -> PathBuf {
        self.state_dir().join("instances")
    }
    /// Templates, one directory each.
    pub fn templates(&self) -> PathBuf {
        self.state_dir().join("templates")
    }
    /// Snapshots, one directory each, by name.
    pub fn snapshots(&self) -> PathBuf {
        self.state_dir().join("snapshots")
    }
    /// The files of a snapshot.
    pub fn snapshot(&self, name: &SnapshotName) -> SavedStatePaths {
        SavedStatePaths::new(self.snapshots().join(name.as_str()))
    }
    /// Lock: held while container images are built.
    pub fn build_lock(&self) -> PathBuf {
        self.state_dir().join("vm").join("container-images.lock")
    }
    /// Backing files of the disks of saved VMs and instances.
    pub fn disks(&self) -> PathBuf {
        self.state_dir().join("disks")
    }
    /// The files of an instance.
    pub fn instance(&self, name: &InstanceName) -> InstancePaths {
        let dir = match name.suffix() {
            None => self.state_dir(),
            Some(suffix) => self.instances().join(suffix),
        };
        InstancePaths { dir }
    }
}

/// The files that the tool reads and writes in the web application's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebPaths {
    dir: PathBuf,
}

impl WebPaths {
    /// The web directory at `dir`, an absolute path.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        WebPaths { dir: dir.into() }
    }
    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
    /// The variables of the application: the user's file, in which the tool sets two variables.
    pub fn dot_env(&self) -> PathBuf {
        self.dir.join(".env")
    }
    /// The example from which a missing `.env` is made.
    pub fn dot_env_example(&self) -> PathBuf {
        self.dir.join(".env.example")
    }
    /// The directory of the kubeconfig.
    pub fn kubeconfig_directory(&self) -> PathBuf {
        self.dir.join(".kube")
    }
    /// The kubeconfig of the cluster.
    pub fn kubeconfig(&self) -> PathBuf {
        self.kubeconfig_directory().join(Self::KUBECONFIG_NAME)
    }
    /// The name of the kubeconfig in its directory.
    pub const KUBECONFIG_NAME: &'static str = "config";
    /// The symbolic link to the kubeconfig.
    pub fn kubeconfig_link(&self) -> PathBuf {
        self.dir.join("kubeconfig.yaml")
    }
    /// The target of the symbolic link.
    pub fn kubeconfig_link_target() -> &'static Path {
        Path::new(".kube/config")
    }
    /// The value of `KUBECONFIG` in the application's `.env`.
    pub const KUBECONFIG_VALUE: &'static str = "./kubeconfig.yaml";
}

/// The files of one instance.
///
/// QEMU's working directory is [`InstancePaths::vm_dir`] and the paths of its sockets are relative to it. So no project
/// path is too long for a socket (108 bytes, unix(7)) or has a character that QEMU's options cannot take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstancePaths {
    dir: PathBuf,
}

impl InstancePaths {
    /// The instance's directory: `.k3s-vm/` for the default instance.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
    /// QEMU's stdout and stderr, and the guest's console.
    pub fn log(&self) -> PathBuf {
        self.dir.join("vm.log")
    }
    /// The log of an earlier run: 1 for the last one, 2 for the one before.
    pub fn previous_log(&self, back: u32) -> PathBuf {
        self.dir.join(format!("vm.log.{back}"))
    }
    /// The pid of QEMU, for people and scripts. It proves nothing.
    pub fn pid(&self) -> PathBuf {
        self.dir.join("vm.pid")
    }
    /// Disks, keys, sockets and state files; 0700.
    pub fn vm_dir(&self) -> PathBuf {
        self.dir.join("vm")
    }
    /// Lock: held by a verb from begin to end.
    pub fn lock(&self) -> PathBuf {
        self.vm_dir().join("lock")
    }
    /// Lock: held by the supervisor.
    pub fn supervisor_lock(&self) -> PathBuf {
        self.vm_dir().join("supervisor.lock")
    }
    /// Lock: held by the process that bounds the log while no command runs. Never deleted.
    pub fn log_lock(&self) -> PathBuf {
        self.vm_dir().join("log.lock")
    }
    /// The supervisor's own log; usually empty.
    pub fn supervisor_log(&self) -> PathBuf {
        self.vm_dir().join("supervisor.log")
    }
    /// When and why the VM was paused. It proves nothing.
    pub fn paused(&self) -> PathBuf {
        self.vm_dir().join("paused.json")
    }
    /// The state file: pid, start time, boot id, uuid, ports and image of the started VM. It helps to find the process
    /// and proves nothing.
    pub fn state_file(&self) -> PathBuf {
        self.vm_dir().join("state.json")
    }
    /// The identity of the cluster on the instance's disk, written once the cluster has proved to be ours. It holds
    /// credentials; 0600.
    pub fn cluster(&self) -> PathBuf {
        self.vm_dir().join("cluster.json")
    }
    /// The instance's disk, a qcow2 overlay. Suspended RAM is only a cache beside it.
    pub fn disk(&self) -> PathBuf {
        self.vm_dir().join("disk.qcow2")
    }
    /// The host ports that were assigned to a named instance.
    pub fn ports(&self) -> PathBuf {
        self.dir.join("ports.json")
    }
    /// The kubeconfig of a named instance; that of the default one is in the web application's directory.
    pub fn kubeconfig(&self) -> PathBuf {
        self.dir.join("kubeconfig.yaml")
    }

    /// The device state from which the running VM was restored, or the first one saved from it if it booted.
    pub fn begun_state(&self) -> PathBuf {
        self.vm_dir().join("begun.state")
    }

    /// The parts of the RAM that the VM read first after a restore; may be missing.
    pub fn working_set(&self) -> PathBuf {
        self.vm_dir().join("working-set")
    }

    /// The files of a suspended VM; a cache.
    pub fn suspended(&self) -> SuspendedPaths {
        SuspendedPaths { dir: self.vm_dir() }
    }
    /// The private key for the guest's sshd; 0600.
    pub fn ssh_key(&self) -> PathBuf {
        self.vm_dir().join("id_ed25519")
    }
    /// The public half of [`InstancePaths::ssh_key`].
    pub fn ssh_public_key(&self) -> PathBuf {
        self.vm_dir().join("id_ed25519.pub")
    }
    /// The private host key of the guest's sshd; 0600.
    pub fn ssh_host_key(&self) -> PathBuf {
        self.vm_dir().join("ssh_host_ed25519_key")
    }
    /// The public half of [`InstancePaths::ssh_host_key`].
    pub fn ssh_host_public_key(&self) -> PathBuf {
        self.vm_dir().join("ssh_host_ed25519_key.pub")
    }
    /// The guest's host key for ssh clients.
    pub fn known_hosts(&self) -> PathBuf {
        self.vm_dir().join("known_hosts")
    }
    /// A configuration for `ssh -F`.
    pub fn ssh_config(&self) -> PathBuf {
        self.vm_dir().join("ssh.config")
    }
    /// The fw_cfg file `opt/k3s-vm/authorized_keys`, padded to its constant size.
    pub fn authorized_keys(&self) -> PathBuf {
        self.vm_dir().join("authorized_keys")
    }
    /// The fw_cfg file `opt/k3s-vm/instance.json`.
    pub fn instance_data(&self) -> PathBuf {
        self.vm_dir().join("instance.json")
    }
    /// Archives built from `[[images]]`.
    pub fn image_archives(&self) -> PathBuf {
        self.vm_dir().join("images")
    }
    /// The QMP socket, relative to [`InstancePaths::vm_dir`].
    pub const QMP_SOCKET: &'static str = "qmp.sock";
    /// The guest agent's socket, relative to [`InstancePaths::vm_dir`].
    pub const AGENT_SOCKET: &'static str = "agent.sock";
}

/// The files of a suspended VM, in the directory of its disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuspendedPaths {
    dir: PathBuf,
}

impl SuspendedPaths {
    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.dir
    }
    /// The RAM.
    pub fn ram(&self, generation: &Generation) -> PathBuf {
        self.dir.join(format!("{}{generation}.ram", Self::PREFIX))
    }
    /// The state of the devices.
    pub fn state(&self, generation: &Generation) -> PathBuf {
        self.dir.join(format!("{}{generation}.state", Self::PREFIX))
    }
    /// The prefix of the names of all files of a suspended VM.
    pub const PREFIX: &'static str = "suspended.";
    /// Generation and compatibility key; written last, and removed before the VM runs again.
    pub fn description(&self) -> PathBuf {
        self.dir.join("suspended.json")
    }
}

/// The files of a template or a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedStatePaths {
    dir: PathBuf,
}

impl SavedStatePaths {
    /// The template or snapshot at `dir`, an absolute path.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        SavedStatePaths { dir: dir.into() }
    }
    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
    /// The RAM, a sparse file as large as the VM's memory.
    pub fn ram(&self, generation: &Generation) -> PathBuf {
        self.dir.join(format!("{generation}.ram"))
    }
    /// The state of the devices, a migration stream of QEMU.
    pub fn state(&self, generation: &Generation) -> PathBuf {
        self.dir.join(format!("{generation}.state"))
    }
    /// The disk, the read-only backing file of the disks of restored VMs.
    pub fn disk(&self) -> PathBuf {
        self.dir.join("disk.qcow2")
    }
    /// Generation and compatibility key; written last.
    pub fn description(&self) -> PathBuf {
        self.dir.join("saved-state.json")
    }
    /// The identity of the cluster in it, so that a restore need not ask the guest. It holds credentials; 0600.
    pub fn cluster(&self) -> PathBuf {
        self.dir.join("cluster.json")
    }
    /// The parts of the RAM that a restored VM reads first; may be written later or be missing.
    pub fn working_set(&self) -> PathBuf {
        self.dir.join("working-set")
    }
}

/// The cache that projects share: `$XDG_CACHE_HOME/k3s-vm`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachePaths {
    root: PathBuf,
}

impl CachePaths {
    /// The cache at `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        CachePaths { root: root.into() }
    }
    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }
    /// Guest images, one directory per fingerprint.
    pub fn images(&self) -> PathBuf {
        self.root.join("images")
    }
    /// Parts of guest images (trees, programs), one directory per fingerprint.
    pub fn parts(&self) -> PathBuf {
        self.root.join("parts")
    }
    /// Locks, one file per thing that is built.
    pub fn locks(&self) -> PathBuf {
        self.root.join("locks")
    }
    /// The result of the accelerator self-test in this boot of the host.
    pub fn accelerator_verdicts(&self) -> PathBuf {
        self.root.join("accelerator.json")
    }
    /// Guest images that were verified in this boot of the host, one file each.
    pub fn verified(&self) -> PathBuf {
        self.root.join("verified")
    }
    /// Lock: held while KVM is tested, so that two starts do not test it at once.
    pub fn accelerator_lock(&self) -> PathBuf {
        self.locks().join("accelerator.lock")
    }
    /// Versions of host programs, by file.
    pub fn program_versions(&self) -> PathBuf {
        self.root.join("program-versions.json")
    }
    /// Downloaded files, named by digest.
    pub fn downloads(&self) -> PathBuf {
        self.root.join("downloads")
    }
    /// The distribution that was chosen where the user left it open.
    pub fn choices(&self) -> PathBuf {
        self.root.join("choices")
    }
    /// Toolchains that were installed with `--yes`.
    pub fn toolchains(&self) -> PathBuf {
        self.root.join("toolchains")
    }
}
