//! Point 5: no device that breaks saved RAM, and new random numbers in each restored guest.

use std::time::Duration;

use host::wait::Look;

use super::guest::LiveGuest;

/// What the kernel logs when vmgenid reports a restore (drivers/char/random.c of Linux).
const RESEEDED: &str = "crng reseeded due to virtual machine fork";

/// Checks mounts and the drivers of virtio devices.
pub(super) fn none_that_break_restores(guest: &mut LiveGuest<'_>) {
    let mounts = guest.file("/proc/mounts");
    let types: Vec<&str> = mounts.lines().filter_map(|line| line.split_whitespace().nth(2)).collect();
    assert!(types.contains(&"proc") && !types.iter().any(|one| ["9p", "virtiofs"].contains(one)), "{mounts}");
    let drivers = guest.shell("for d in /sys/bus/virtio/devices/*/driver; do readlink -f $d; done");
    let names: Vec<&str> = drivers.lines().filter_map(|line| line.rsplit('/').next()).collect();
    assert!(names.contains(&"virtio_blk"), "{names:?}");
    let broken = ["virtio_balloon", "9pnet_virtio", "virtiofs"];
    assert!(!names.iter().any(|name| broken.contains(name)), "{names:?}");
    // Bound now, so that it reports the restore. Its bus depends on the kernel.
    let devices = guest.shell("ls -d /sys/bus/*/drivers/vmgenid/*:* 2>/dev/null || true");
    assert!(!devices.trim().is_empty(), "no device is bound to the driver vmgenid");
    assert!(!guest.shell("dmesg").contains(RESEEDED), "it was reseeded before it was ever restored");
}

/// The new QEMU has a new generation id, so the kernel reseeds.
pub(super) fn reseeded(guest: &mut LiveGuest<'_>) {
    guest.wait("the kernel to reseed", Duration::from_secs(60), |guest, _| {
        let is_reseeded = guest.shell("dmesg").contains(RESEEDED);
        Ok(if is_reseeded { Look::Ready(()) } else { Look::NotYet("it has not logged it".to_owned()) })
    });
}
