//! Every file and directory of a project, an instance and the cache: one method each, with what it holds.
//!
//! It computes names; it never looks whether they exist.

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
    /// The directory by which a project is recognised.
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
    /// The configuration; optional.
    pub fn config(&self) -> PathBuf {
        self.state_dir().join("config.toml")
    }
    /// What of the directory is not for version control.
    pub fn ignore_file(&self) -> PathBuf {
        self.state_dir().join(".gitignore")
    }
    /// The K3s release of the project, with its digests; meant for version control.
    pub fn k3s_lock(&self) -> PathBuf {
        self.state_dir().join("k3s.lock")
    }
    /// The user's part of the NixOS guest: made once, theirs to edit, meant for version control. No `reset` removes it.
    pub fn nix_configuration(&self) -> PathBuf {
        self.nix_directory().join("configuration.nix")
    }
    /// What the configuration says of the NixOS guest, written anew for each build.
    pub fn nix_settings(&self) -> PathBuf {
        self.nix_directory().join("settings.json")
    }
    /// The link that `nix-build` makes to the newest image.
    pub fn nix_result(&self) -> PathBuf {
        self.nix_directory().join("result")
    }
    /// What the last `nix-build` said.
    pub fn nix_build_log(&self) -> PathBuf {
        self.state_dir().join("nix-build.log")
    }
    /// The directory of the files that make the NixOS guest: that of the default instance.
    pub fn nix_directory(&self) -> PathBuf {
        self.instance(&InstanceName::default()).vm_dir()
    }
    /// The project's `.env`, which has `WEB_PORT`.
    pub fn dot_env(&self) -> PathBuf {
        self.root.join(".env")
    }
    /// The directories of the instances that have a name; the default one lives in [`ProjectPaths::state_dir`].
    pub fn instances(&self) -> PathBuf {
        self.state_dir().join("instances")
    }
    /// Saved VMs to begin anew with, one directory each.
    pub fn templates(&self) -> PathBuf {
        self.state_dir().join("templates")
    }
    /// Saved VMs that the user asked for, one directory each, by their names.
    pub fn snapshots(&self) -> PathBuf {
        self.state_dir().join("snapshots")
    }
    /// The snapshot of this name.
    pub fn snapshot(&self, name: &SnapshotName) -> SavedStatePaths {
        SavedStatePaths::new(self.snapshots().join(name.as_str()))
    }
    /// The lock that is held while container images are built.
    pub fn build_lock(&self) -> PathBuf {
        self.state_dir().join("vm").join("container-images.lock")
    }
    /// Frozen disks, on which those of saved VMs and instances are overlays.
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

/// The web application's directory and the files in it that the tool writes.
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
    /// The variables of the application; the user's file, in which the tool sets two names.
    pub fn dot_env(&self) -> PathBuf {
        self.dir.join(".env")
    }
    /// What a missing `.env` is made from.
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
    /// Its name in its directory.
    pub const KUBECONFIG_NAME: &'static str = "config";
    /// The symbolic link to the kubeconfig.
    pub fn kubeconfig_link(&self) -> PathBuf {
        self.dir.join("kubeconfig.yaml")
    }
    /// What the link says.
    pub fn kubeconfig_link_target() -> &'static Path {
        Path::new(".kube/config")
    }
    /// The value of `KUBECONFIG` in the application's `.env`.
    pub const KUBECONFIG_VALUE: &'static str = "./kubeconfig.yaml";
}

/// The files of one instance.
///
/// QEMU runs with [`InstancePaths::vm_dir`] as its working directory and names its sockets relative to it, so that
/// no project path is too long for a socket (108 bytes, unix(7)) or has a character that an option cannot carry.
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
    /// The log of the run `back` runs ago, 1 for the one before.
    pub fn previous_log(&self, back: u32) -> PathBuf {
        self.dir.join(format!("vm.log.{back}"))
    }
    /// The pid of QEMU, for people and for scripts; never believed by itself.
    pub fn pid(&self) -> PathBuf {
        self.dir.join("vm.pid")
    }
    /// Disks, keys, sockets and records; 0700.
    pub fn vm_dir(&self) -> PathBuf {
        self.dir.join("vm")
    }
    /// The lock that one verb holds from begin to end.
    pub fn lock(&self) -> PathBuf {
        self.vm_dir().join("lock")
    }
    /// Held by the process that looks after an idle VM.
    pub fn supervisor_lock(&self) -> PathBuf {
        self.vm_dir().join("supervisor.lock")
    }
    /// Held by the process that bounds the log while no command runs. Never deleted.
    pub fn log_lock(&self) -> PathBuf {
        self.vm_dir().join("log.lock")
    }
    /// What that process had to say; empty as a rule.
    pub fn supervisor_log(&self) -> PathBuf {
        self.vm_dir().join("supervisor.log")
    }
    /// Since when and why a paused VM is so; proves nothing.
    pub fn paused(&self) -> PathBuf {
        self.vm_dir().join("paused.json")
    }
    /// What was started: pid, start time, boot id, uuid, ports, image. Helps to find the process, proves nothing.
    pub fn state_file(&self) -> PathBuf {
        self.vm_dir().join("state.json")
    }
    /// What the cluster on the instance's disk is, as soon as it has proved to be ours; 0600, it lets into the cluster.
    pub fn cluster(&self) -> PathBuf {
        self.vm_dir().join("cluster.json")
    }
    /// The instance disk: a qcow2 overlay on the image's root disk. The truth.
    pub fn disk(&self) -> PathBuf {
        self.vm_dir().join("disk.qcow2")
    }
    /// The host ports that an instance with a name was given.
    pub fn ports(&self) -> PathBuf {
        self.dir.join("ports.json")
    }
    /// The kubeconfig of an instance with a name; that of the default one is the web application's.
    pub fn kubeconfig(&self) -> PathBuf {
        self.dir.join("kubeconfig.yaml")
    }

    /// The state that the running VM was restored from, or that was saved of it first if it has booted.
    pub fn begun_state(&self) -> PathBuf {
        self.vm_dir().join("begun.state")
    }

    /// What of the RAM the VM needed first when it was restored; it may be missing.
    pub fn working_set(&self) -> PathBuf {
        self.vm_dir().join("working-set")
    }

    /// The RAM of a suspended VM, and what belongs to it; a cache.
    pub fn suspended(&self) -> SuspendedPaths {
        SuspendedPaths { dir: self.vm_dir() }
    }
    /// The private key that opens the guest; 0600.
    pub fn ssh_key(&self) -> PathBuf {
        self.vm_dir().join("id_ed25519")
    }
    /// The public half of [`InstancePaths::ssh_key`].
    pub fn ssh_public_key(&self) -> PathBuf {
        self.vm_dir().join("id_ed25519.pub")
    }
    /// The private host key that the guest's sshd presents; 0600.
    pub fn ssh_host_key(&self) -> PathBuf {
        self.vm_dir().join("ssh_host_ed25519_key")
    }
    /// The public half of [`InstancePaths::ssh_host_key`].
    pub fn ssh_host_public_key(&self) -> PathBuf {
        self.vm_dir().join("ssh_host_ed25519_key.pub")
    }
    /// The host key as the client must see it.
    pub fn known_hosts(&self) -> PathBuf {
        self.vm_dir().join("known_hosts")
    }
    /// A configuration for `ssh -F`, usable by people and tools.
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
    /// QMP, relative to [`InstancePaths::vm_dir`].
    pub const QMP_SOCKET: &'static str = "qmp.sock";
    /// The guest agent, relative to [`InstancePaths::vm_dir`].
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
    /// The RAM of this generation.
    pub fn ram(&self, generation: &Generation) -> PathBuf {
        self.dir.join(format!("{}{generation}.ram", Self::PREFIX))
    }
    /// The state of the devices of this generation.
    pub fn state(&self, generation: &Generation) -> PathBuf {
        self.dir.join(format!("{}{generation}.state", Self::PREFIX))
    }
    /// What the names of all its files begin with.
    pub const PREFIX: &'static str = "suspended.";
    /// What both fit, written last and removed before the VM runs again.
    pub fn description(&self) -> PathBuf {
        self.dir.join("suspended.json")
    }
}

/// The files of a saved VM: a template or a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedStatePaths {
    dir: PathBuf,
}

impl SavedStatePaths {
    /// The template at `dir`, an absolute path.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        SavedStatePaths { dir: dir.into() }
    }
    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
    /// The RAM of this generation: as large as the VM's, with holes.
    pub fn ram(&self, generation: &Generation) -> PathBuf {
        self.dir.join(format!("{generation}.ram"))
    }
    /// The state of the devices of this generation, a migration stream of QEMU's.
    pub fn state(&self, generation: &Generation) -> PathBuf {
        self.dir.join(format!("{generation}.state"))
    }
    /// The frozen disk: the read-only base of what restored VMs write.
    pub fn disk(&self) -> PathBuf {
        self.dir.join("disk.qcow2")
    }
    /// What it fits, written last.
    pub fn description(&self) -> PathBuf {
        self.dir.join("saved-state.json")
    }
    /// What the cluster in it is: whoever restores it need not ask the guest. 0600, it lets into the cluster.
    pub fn cluster(&self) -> PathBuf {
        self.dir.join("cluster.json")
    }
    /// Which parts of the RAM a restored VM touches first; a help that may come later or be missing.
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
    /// Guest images, one directory each, named by fingerprint.
    pub fn images(&self) -> PathBuf {
        self.root.join("images")
    }
    /// Parts that images are made of (trees, programs), one directory each, named by fingerprint.
    pub fn parts(&self) -> PathBuf {
        self.root.join("parts")
    }
    /// Locks, one file for each thing that is built.
    pub fn locks(&self) -> PathBuf {
        self.root.join("locks")
    }
    /// What the self-test of KVM found in this boot of the host.
    pub fn accelerator_verdicts(&self) -> PathBuf {
        self.root.join("accelerator.json")
    }
    /// What of guest images was found whole in this boot of the host, one file each.
    pub fn verified(&self) -> PathBuf {
        self.root.join("verified")
    }
    /// Held while KVM is tested, so that two starts do not test it at once.
    pub fn accelerator_lock(&self) -> PathBuf {
        self.locks().join("accelerator.lock")
    }
    /// The versions of host programs, by file.
    pub fn program_versions(&self) -> PathBuf {
        self.root.join("program-versions.json")
    }
    /// Fetched files, each named by its digest.
    pub fn downloads(&self) -> PathBuf {
        self.root.join("downloads")
    }
    /// Which distribution was taken where the user left it open.
    pub fn choices(&self) -> PathBuf {
        self.root.join("choices")
    }
    /// Toolchains that `--yes` brought.
    pub fn toolchains(&self) -> PathBuf {
        self.root.join("toolchains")
    }
}
