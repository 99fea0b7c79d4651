//! Point 1: kernel, initial RAM disk, command line, console, root disk.

use std::time::Duration;

use host::wait::Look;
use model::ErrorClass;
use model::guest_image::GuestImage;
use qemu::Agent;

use super::guest::{BOOT, LiveGuest, file_facts};
use crate::expect::expect_ok;

/// The most that a filesystem may take for its own data; inode tables and journal of ext4 take three percent.
const OVERHEAD_PERCENT: u64 = 8;

/// Boots it until the agent answers.
pub(super) fn start(image: &GuestImage) -> LiveGuest<'_> {
    let mut guest = LiveGuest::start(image);
    guest.wait("the guest agent", BOOT, |guest, left| {
        match Agent::connect(&guest.paths.vm_dir(), left.min(Duration::from_secs(2))) {
            Ok(_) => Ok(Look::Ready(())),
            Err(error) if error.class() == ErrorClass::Timeout => Ok(Look::NotYet(error.to_string())),
            Err(error) => Err(error),
        }
    });
    // The image's own line comes first; k3s-vm appends what QEMU's version needs.
    let line = guest.file("/proc/cmdline");
    assert_eq!(line.trim(), guest.kernel_command_line());
    assert!(line.starts_with(image.manifest.kernel_command_line.trim()), "the kernel's command line is {line}");
    // All CPUs are online, even if the kernel booted with fewer.
    let cpus = guest.file("/sys/devices/system/cpu/online");
    assert_eq!(cpus, guest.file("/sys/devices/system/cpu/present"), "CPUs are not all online");
    let board = guest.file("/sys/class/dmi/id/product_name");
    assert!(board.contains("Q35"), "the board is {board}");
    guest
}

/// Arguments for a kernel without initial RAM disk, root and driver for QEMU's panic device: it panics and resets.
const NO_BOOT: &str = " rdinit=/none root=/dev/none panic=1 module_blacklist=pvpanic,pvpanic_mmio,pvpanic_pci";

/// A guest that cannot boot ends QEMU with its first reset, instead of rebooting for ever.
pub(super) fn no_boot(image: &GuestImage) {
    let mut guest = LiveGuest::start_with(image, NO_BOOT);
    let how = guest.ended_within(BOOT);
    let console = guest.console();
    assert_eq!(console.matches("Kernel panic - not syncing").count(), 1, "{console}");
    // Exit code 0 as after a power-off; 1 where a driver for the panic device is built into the kernel.
    assert!(matches!(how.as_str(), "exit status: 0" | "exit status: 1"), "QEMU ended with {how}");
}

/// The messages of the kernel and what programs write to the console are in the host's log.
pub(super) fn console(guest: &mut LiveGuest<'_>) {
    let word = uuid::Uuid::new_v4().simple().to_string();
    guest.shell(&format!("echo '<1>kernel-{word}' >/dev/kmsg; echo system-{word} >/dev/console"));
    for who in ["kernel", "system"] {
        guest.wait(&format!("what the {who} prints on ttyS0"), Duration::from_secs(30), |guest, _| {
            let seen = guest.console().contains(&format!("{who}-{word}"));
            Ok(if seen { Look::Ready(()) } else { Look::NotYet("it is not in the log".to_owned()) })
        });
    }
}

/// The guest's root is QEMU's disk, and its writes are in the overlay.
pub(super) fn root_disk(guest: &mut LiveGuest<'_>) {
    let header = expect_ok(qemu::qcow2::header(&guest.image.root_disk()));
    assert_eq!(header.virtual_size, guest.image.manifest.virtual_size, "the disk does not have the manifest's size");
    assert_eq!(header.backing_file, None, "the base disk has a backing file itself");
    let mounts = guest.file("/proc/self/mountinfo");
    // Fields of proc_pid_mountinfo(5): id, parent, major:minor, root, mount point, options.
    let root = mounts.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).rfind(|line| line[4] == "/");
    let root = root.expect("a root");
    assert!(root[5].split(',').any(|option| option == "rw"), "the root is mounted {}", root[5]);
    let driver = guest.shell(&format!("readlink -f /sys/dev/block/{}/device/driver", root[2]));
    assert!(driver.trim().ends_with("/virtio_blk"), "the driver of the root is {driver:?}");
    let size = guest.shell(&format!("cat /sys/dev/block/{}/size", root[2]));
    assert_eq!(size.trim().parse::<u64>().expect("sectors") * 512, guest.image.manifest.virtual_size);
    let (before, _) = file_facts(&guest.paths.disk());
    guest.shell("head -c 4194304 /dev/urandom >/contract-test && sync && rm /contract-test");
    let grown = file_facts(&guest.paths.disk()).0 - before;
    assert!(grown >= 4 << 20, "the overlay grew by {grown} bytes");
}

/// Checked as soon as the agent answers: a filesystem that is grown after the boot is too small now, or the kernel has
/// logged it.
pub(super) fn full_size(guest: &mut LiveGuest<'_>) {
    let output = guest.shell("stat -f -c '%b %S' /");
    let numbers: Vec<u64> = output.split_whitespace().map(|number| number.parse().expect("a number")).collect();
    let (size, virtual_size) = (numbers[0] * numbers[1], guest.image.manifest.virtual_size);
    let least = virtual_size / 100 * (100 - OVERHEAD_PERCENT);
    assert!((least..=virtual_size).contains(&size), "the filesystem has {size} of {virtual_size} bytes");
    let messages = guest.shell("dmesg");
    assert!(messages.contains("Linux version"), "the kernel's messages do not go back to the boot");
    let grown =
        messages.lines().find(|line| line.contains("resizing filesystem") || line.contains("resized filesystem"));
    assert_eq!(grown, None, "it grew after the boot");
}

/// The base disk is shared by instances.
pub(super) fn base_disk_unchanged(guest: &mut LiveGuest<'_>) {
    let base = guest.image.root_disk();
    assert_eq!(file_facts(&base), guest.base, "the VM has changed its base disk");
    assert_eq!(expect_ok(qemu::qcow2::header(&guest.paths.disk())).backing_file, Some(base));
}
