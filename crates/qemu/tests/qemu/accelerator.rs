//! The guest that tests an accelerator, with the real QEMU and a real kernel where there are any.

use std::path::{Path, PathBuf};

use model::event::Silent;
use qemu::Accelerator;
use qemu::accelerator::{Finding, Probe};
use qemu::machine::ProbeMachine;

use crate::real::real_qemu;
use crate::vm::LONG;

/// A kernel with a serial console: that of a guest image in the user's cache, or this host's.
fn kernel() -> Option<PathBuf> {
    let in_directory = |directory: PathBuf, wanted: fn(&Path) -> Option<PathBuf>| {
        std::fs::read_dir(directory).ok()?.flatten().find_map(|entry| wanted(&entry.path()))
    };
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")));
    let readable = |path: &PathBuf| std::fs::File::open(path).is_ok();
    cache
        .and_then(|cache| {
            in_directory(cache.join("k3s-vm/images"), |image| Some(image.join("kernel")).filter(|k| k.is_file()))
        })
        .or_else(|| {
            in_directory("/boot".into(), |file| {
                file.file_name()?.to_str()?.starts_with("vmlinuz").then(|| file.to_path_buf())
            })
        })
        .filter(readable)
}

#[test]
fn a_real_guest_prints_its_nonce_under_emulation() {
    let Some(qemu) = real_qemu() else { return };
    let Some(kernel) = kernel() else {
        return testkit::skipped::skip("no Linux kernel in the image cache or in /boot");
    };
    let machine = ProbeMachine {
        version: qemu.version,
        sandbox: qemu.sandbox,
        accelerator: Accelerator::Tcg,
        cpus: 2,
        kernel: &kernel,
        // A root disk that does not exist, another console, and another init, as an image may have them.
        kernel_command_line: "console=ttyS0 console=tty0 quiet root=/dev/vda rw init=/nonexistent panic=-1",
    };
    let found = Probe { qemu: &qemu, machine, deadline: LONG }.run(&Silent).unwrap();
    let Finding::Printed(after) = found else { panic!("{} brought {found:?}", kernel.display()) };
    // Shown with `--nocapture`.
    println!("printed after {after:?} by {}", kernel.display());
}
