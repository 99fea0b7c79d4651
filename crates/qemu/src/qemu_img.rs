//! Disk images through `qemu-img`. Paths are made absolute: a relative one with a colon would be taken for a protocol.

use std::path::{Path, PathBuf};
use std::time::Duration;

use host::command::Command;
use model::{Fault, FaultClass, Result};
use serde_json::Value;

use crate::version::QEMU_IMG;

/// For work on metadata alone.
const SHORT: Duration = Duration::from_secs(60);
/// A check reads every table of the image.
const LONG: Duration = Duration::from_secs(600);

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

/// Describes an image; also one that a running QEMU holds.
///
/// # Errors
/// Failed with the end of qemu-img's stderr; Host when there is no qemu-img.
pub fn info(image: &Path) -> Result<ImageInfo> {
    let told = |fault: Fault| fault.context(format!("cannot read the disk {}", image.display()));
    let command = qemu_img()?.args(["info", "-U", "--output=json"]).arg(absolute(image)?).deadline(SHORT);
    let text = command.run().map_err(told)?;
    parse_info(&text)
        .ok_or_else(|| told(Fault::new(FaultClass::Failed, "qemu-img info printed something unexpected").because(text)))
}

/// Checks a qcow2 image that no QEMU holds, and repairs leaks.
///
/// # Errors
/// Failed when the check itself fails; otherwise as [`info`].
pub fn check(image: &Path) -> Result<CheckResult> {
    // Exit codes: qemu-img(1), "check".
    let look = || -> Result<i32> {
        let command = qemu_img()?.args(["check", "-q", "-f", "qcow2"]).arg(absolute(image)?).deadline(LONG);
        let output = command.output()?;
        if matches!(output.code, 0 | 2 | 3) {
            return Ok(output.code);
        }
        let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(Fault::new(FaultClass::Failed, format!("cannot check the disk {}", image.display())).because(text))
    };
    match look()? {
        0 => Ok(CheckResult::Clean),
        2 => Ok(CheckResult::Corrupt),
        _ => {
            qemu_img()?
                .args(["check", "-q", "-f", "qcow2", "-r", "leaks"])
                .arg(absolute(image)?)
                .deadline(LONG)
                .run()?;
            Ok(CheckResult::Leaks)
        }
    }
}

/// Makes a qcow2 image larger (bytes); no QEMU may hold it.
///
/// # Errors
/// As [`info`]; qemu-img refuses to make it smaller.
pub fn grow(image: &Path, size: u64) -> Result<()> {
    let command =
        qemu_img()?.args(["resize", "-q", "-f", "qcow2"]).arg(absolute(image)?).arg(size.to_string()).deadline(SHORT);
    command.run().map(drop).map_err(|fault| fault.context(format!("cannot resize the disk {}", image.display())))
}

/// Puts a qcow2 image that no QEMU holds onto another qcow2 `base` of its chain, by taking over what lay between: the
/// chain is shorter, the guest sees no difference. That which lay between is not touched.
///
/// # Errors
/// As [`info`]; Timeout after `deadline`.
pub fn rebase(image: &Path, base: &Path, deadline: Duration) -> Result<()> {
    let command = qemu_img()?
        .args(["rebase", "-q", "-f", "qcow2", "-F", "qcow2", "-b"])
        .arg(absolute(base)?)
        .arg(absolute(image)?)
        .deadline(deadline);
    command.run().map(drop).map_err(|fault| fault.context(format!("cannot shorten the disk {}", image.display())))
}

fn qemu_img() -> Result<Command> {
    match host::tools::find(QEMU_IMG.program) {
        Some(program) => Ok(Command::new(program)),
        None => Err(Fault::new(FaultClass::Host, format!("{} is not installed", QEMU_IMG.program))
            .because(format!("it {}", QEMU_IMG.purpose))
            .next("k3s-vm --yes    # installs it")
            .next(format!("apt-get install {}", QEMU_IMG.apt))),
    }
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path)
        .map_err(|error| Fault::new(FaultClass::Failed, format!("{} is no path", path.display())).because(error))
}

fn parse_info(text: &str) -> Option<ImageInfo> {
    let info: Value = serde_json::from_str(text).ok()?;
    let text = |key: &str| info[key].as_str().map(str::to_owned);
    Some(ImageInfo {
        format: text("format")?,
        virtual_size: info["virtual-size"].as_u64()?,
        actual_size: info["actual-size"].as_u64()?,
        backing_file: text("full-backing-filename").or(text("backing-filename")).map(PathBuf::from),
        backing_format: text("backing-filename-format"),
        corrupt: info["format-specific"]["data"]["corrupt"] == Value::Bool(true),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Printed by qemu-img 7.2.22.
    const INFO: &str = r#"{
        "backing-filename-format": "qcow2", "virtual-size": 1073741824, "filename": "disk.qcow2",
        "cluster-size": 65536, "format": "qcow2", "actual-size": 200704,
        "format-specific": {"type": "qcow2", "data": {"compat": "1.1", "compression-type": "zlib",
            "lazy-refcounts": false, "refcount-bits": 16, "corrupt": false, "extended-l2": false}},
        "full-backing-filename": "/tmp/a,b \"q\" \u00FC/base.qcow2",
        "backing-filename": "/tmp/a,b \"q\" \u00FC/base.qcow2", "dirty-flag": false }"#;

    #[test]
    fn reads_what_qemu_img_prints() {
        let info = parse_info(INFO).unwrap();
        assert_eq!(info.backing_file.as_deref(), Some(Path::new("/tmp/a,b \"q\" ü/base.qcow2")));
        assert_eq!((info.virtual_size, info.actual_size, info.corrupt), (1 << 30, 200_704, false));
        assert_eq!(info.backing_format.as_deref(), Some("qcow2"));
        assert_eq!(parse_info("{}"), None);
        assert_eq!(parse_info("not json"), None);
    }
}
