//! Disk images through `qemu-img`.

#![allow(unused_variables, dead_code, clippy::unimplemented)]

use std::path::{Path, PathBuf};

use model::Result;

/// What `qemu-img info` says of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageInfo {
    /// `qcow2`, `raw`, …
    pub format: String,
    /// The size that the guest sees, in bytes.
    pub virtual_size: u64,
    /// The space that the file takes, in bytes.
    pub actual_size: u64,
    /// The absolute path of the image under it.
    pub backing_file: Option<PathBuf>,
    /// The format of the image under it.
    pub backing_format: Option<String>,
    /// qcow2: marked as corrupt; QEMU refuses to write to it.
    pub corrupt: bool,
}

/// What `qemu-img check` found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckResult {
    /// Nothing wrong.
    Clean,
    /// Clusters that nothing refers to: space is lost, data is whole. They have been given back.
    Leaks,
    /// The image is damaged.
    Corrupt,
}

/// Makes `overlay`, a qcow2 image on the read-only `base`; `size` where the disk is to be larger than the base.
pub fn create_overlay(overlay: &Path, base: &Path, base_format: &str, size: Option<u64>) -> Result<()> {
    unimplemented!()
}

/// Describes an image; also one that a running QEMU holds.
pub fn info(image: &Path) -> Result<ImageInfo> {
    unimplemented!()
}

/// Checks a qcow2 image that no QEMU holds, and repairs leaks.
pub fn check(image: &Path) -> Result<CheckResult> {
    unimplemented!()
}

/// Makes an image larger (bytes).
pub fn grow(image: &Path, size: u64) -> Result<()> {
    unimplemented!()
}
