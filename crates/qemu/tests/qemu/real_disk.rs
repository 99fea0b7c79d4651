//! Disks that this tool writes, against the real qemu-img and qemu-io.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use qemu::{qcow2, qemu_img};
use testkit::skipped::has_programs;

use crate::image_info::{CLEAN, image_check, image_info};

const GIB: u64 = 1 << 30;

/// Runs a command of qemu-io on a qcow2 image; returns its output.
pub(crate) fn io(image: &Path, command: &str) -> String {
    let output = Command::new("qemu-io").args(["-f", "qcow2", "-c", command]).arg(image).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && !text.contains("verification failed"), "{command}: {text}");
    text
}

fn create(image: &Path, size: u64) {
    let made = Command::new("qemu-img").args(["create", "-q", "-f", "qcow2"]).arg(image).arg(size.to_string()).status();
    assert!(made.unwrap().success());
}

/// Makes the disk of a VM that does not run a backing file of this name, with a new overlay in its place.
pub(crate) fn overlay_on(disk: &Path, backing_file: &Path) {
    std::fs::rename(disk, backing_file).unwrap();
    qcow2::create_overlay(disk, backing_file, qcow2::header(backing_file).unwrap().virtual_size).unwrap();
}

fn directory() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().canonicalize().unwrap().join("a, b: \"ü\"");
    std::fs::create_dir(&path).unwrap();
    (directory, path)
}

#[test]
fn qemu_can_use_an_overlay_that_we_write() {
    if !has_programs(&["qemu-img", "qemu-io"]) {
        return;
    }
    let (_directory, directory) = directory();
    let (base, overlay) = (directory.join("base.qcow2"), directory.join("overlay.qcow2"));
    for size in [1 << 20, 20 * GIB, 4096 * GIB + 512, 40_000 * GIB] {
        for file in [&base, &overlay] {
            host::files::remove(file).unwrap();
        }
        create(&base, size);
        assert_eq!(
            qcow2::header(&base).unwrap(),
            qcow2::Header { generation: None, virtual_size: size, backing_file: None }
        );
        io(&base, "write -P 1 0 1M");
        qcow2::create_overlay(&overlay, &base, size).unwrap();
        assert_eq!(image_check(&overlay), CLEAN);
        let info = image_info(&overlay);
        assert_eq!((info.format.as_str(), info.virtual_size), ("qcow2", size));
        assert_eq!(info.backing_file.as_deref(), Some(base.as_path()));
        assert_eq!(info.backing_format.as_deref(), Some("qcow2"));
        // It has the data of its backing file, takes new data, also at its end, and stays sound.
        io(&overlay, "read -P 1 0 1M");
        io(&overlay, "write -P 2 0 64k");
        let end = size - 512;
        io(&overlay, &format!("write -P 3 {end} 512"));
        io(&overlay, &format!("read -P 3 {end} 512"));
        io(&overlay, "read -P 2 0 64k");
        io(&overlay, "read -P 1 64k 64k");
        io(&base, "read -P 1 0 1M");
        assert_eq!(image_check(&overlay), CLEAN);
        assert_eq!(qcow2::header(&overlay).unwrap().backing_file.as_deref(), Some(base.as_path()));
        // qemu-img writes the whole header anew, and preserves extensions that it does not know.
        let generation = qcow2::new_generation();
        qcow2::set_generation(&overlay, &generation).unwrap();
        assert_eq!(image_check(&overlay), CLEAN);
        qemu_img::rebase(&overlay, &base, Duration::from_secs(600)).unwrap();
        assert_eq!(qcow2::header(&overlay).unwrap().generation, Some(generation));
        io(&overlay, "read -P 2 0 64k");
    }
}

#[test]
fn the_new_name_of_a_backing_file_can_be_written_to_an_image_of_qemu_img() {
    if !has_programs(&["qemu-img", "qemu-io"]) {
        return;
    }
    let (_directory, directory) = directory();
    let (old, new, overlay) = (directory.join("b"), directory.join("a new and longer name"), directory.join("overlay"));
    create(&old, GIB);
    io(&old, "write -P 1 0 1M");
    let words = ["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b"];
    let made = Command::new("qemu-img").args(words).arg(&old).arg(&overlay).arg((2 * GIB).to_string()).status();
    assert!(made.unwrap().success());
    io(&overlay, "write -P 2 1M 1M");
    std::fs::rename(&old, &new).unwrap();
    qcow2::rename_backing_file(&overlay, &new).unwrap();
    // An image of qemu-img gets its generation after the extensions that it has.
    let generation = qcow2::new_generation();
    qcow2::set_generation(&overlay, &generation).unwrap();
    assert_eq!(qcow2::header(&overlay).unwrap().generation, Some(generation));
    assert_eq!(image_check(&overlay), CLEAN);
    let info = image_info(&overlay);
    assert_eq!((info.backing_file.as_deref(), info.backing_format.as_deref()), (Some(new.as_path()), Some("qcow2")));
    io(&overlay, "read -P 1 0 1M");
    io(&overlay, "read -P 2 1M 1M");
}
