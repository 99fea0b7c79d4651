//! A guest image and its `manifest.json`, the part of the guest contract that is data.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The schema of `manifest.json` that this version writes: with the sizes and digests of the files.
pub const SCHEMA: u32 = 2;
/// The oldest schema that this version reads. Disks of instances may have a root disk of schema 1, which had no
/// digests, as their backing file.
pub const OLDEST_SCHEMA: u32 = 1;

/// File names inside the directory of a guest image.
pub mod file {
    /// The Linux kernel.
    pub const KERNEL: &str = "kernel";
    /// The initial RAM disk.
    pub const INITRD: &str = "initrd";
    /// The read-only root disk, the backing file of the disks of instances.
    pub const ROOT_DISK: &str = "root.qcow2";
    /// The manifest.
    pub const MANIFEST: &str = "manifest.json";
    /// The files of which the manifest has digests.
    pub const DESCRIBED: [&str; 3] = [KERNEL, INITRD, ROOT_DISK];
}

/// Size and digest of a file, by which damage is noticed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileDigest {
    /// Size in bytes.
    pub size: u64,
    /// SHA-256, 64 hexadecimal digits.
    pub sha256: String,
}

/// The content of `manifest.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuestImageManifest {
    /// [`SCHEMA`].
    pub schema: u32,
    /// `x86_64` or `aarch64`.
    pub architecture: String,
    /// `debian`, `nix` or `prebuilt`.
    pub provider: String,
    /// `kubernetes` or `k3s`.
    pub distribution: String,
    /// The version of Kubernetes, `v1.37.2`.
    pub kubernetes_version: String,
    /// The operating system, for people: `Debian 13 (trixie)`.
    pub operating_system: String,
    /// The image's own kernel command line.
    pub kernel_command_line: String,
    /// The virtual size of the root disk in bytes, which the filesystem has from the start.
    pub virtual_size: u64,
    /// The name of the node; the cluster's database is keyed on it.
    pub node_name: String,
    /// Path of the admin kubeconfig in the guest.
    pub kubeconfig: String,
    /// The systemd unit whose failure means that the cluster cannot come up.
    pub service: String,
    /// Path of containerd's socket in the guest.
    pub containerd_socket: String,
    /// Validity of the API's certificates in days.
    pub certificate_days: u32,
    /// The files of [`file::DESCRIBED`], by name; none in schema 1.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, FileDigest>,
}

/// A guest image on the host: a directory with the files of [`file`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestImage {
    /// The directory, an absolute path.
    pub directory: PathBuf,
    /// Its manifest.
    pub manifest: GuestImageManifest,
    /// What identifies its content: the cache key, or a digest of a prebuilt image's manifest and disk.
    pub fingerprint: String,
    /// Why it has this distribution, if the user left that open and it is not the first choice.
    pub choice: Option<String>,
}

impl GuestImage {
    /// What runs in it, for people: `kubernetes v1.37.2`, with the reason if there is one.
    pub fn describe(&self) -> String {
        let what = format!("{} {}", self.manifest.distribution, self.manifest.kubernetes_version);
        match &self.choice {
            Some(reason) => format!("{what} ({reason})"),
            None => what,
        }
    }
    /// Path of the Linux kernel.
    pub fn kernel(&self) -> PathBuf {
        self.directory.join(file::KERNEL)
    }
    /// Path of the initial RAM disk.
    pub fn initrd(&self) -> PathBuf {
        self.directory.join(file::INITRD)
    }
    /// Path of the read-only root disk, the backing file of the disks of instances.
    pub fn root_disk(&self) -> PathBuf {
        self.directory.join(file::ROOT_DISK)
    }
    /// Path of the manifest of the image in `directory`.
    pub fn manifest_path(directory: &Path) -> PathBuf {
        directory.join(file::MANIFEST)
    }
}
