//! What the real qemu-img reports about disk images.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The exit code of `qemu-img check` for a sound image (qemu-img(1)).
pub(crate) const CLEAN: i32 = 0;
/// The exit code for an image with clusters that nothing refers to.
pub(crate) const LEAKS: i32 = 3;

/// The output of `qemu-img info`.
#[derive(Debug)]
pub(crate) struct ImageInfo {
    pub(crate) format: String,
    pub(crate) virtual_size: u64,
    pub(crate) backing_file: Option<PathBuf>,
    pub(crate) backing_format: Option<String>,
}

/// Describes an image, which may be in use.
pub(crate) fn image_info(image: &Path) -> ImageInfo {
    let output = Command::new("qemu-img").args(["info", "-U", "--output=json"]).arg(image).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let info: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |key: &str| info[key].as_str().map(str::to_owned);
    ImageInfo {
        format: text("format").unwrap(),
        virtual_size: info["virtual-size"].as_u64().unwrap(),
        backing_file: text("full-backing-filename").or(text("backing-filename")).map(PathBuf::from),
        backing_format: text("backing-filename-format"),
    }
}

/// Checks a qcow2 image that is not in use; returns the exit code.
pub(crate) fn image_check(image: &Path) -> i32 {
    let check = Command::new("qemu-img").args(["check", "-q", "-f", "qcow2"]).arg(image).status();
    check.unwrap().code().unwrap()
}
