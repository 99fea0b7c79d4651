//! Point 5: nothing that breaks saved RAM, and random numbers of its own for each restored guest.

use std::time::Duration;

use host::wait::Look;

use super::guest::LiveGuest;

/// What the kernel says when vmgenid tells it that it is a copy (drivers/char/random.c of Linux).
const RESEEDED: &str = "crng reseeded due to virtual machine fork";

/// By what is mounted, and by the drivers that virtio devices have.
pub(super) fn none_that_break_restores(guest: &mut LiveGuest<'_>) {
    let mounts = guest.file("/proc/mounts");
    let types: Vec<&str> = mounts.lines().filter_map(|line| line.split_whitespace().nth(2)).collect();
    assert!(types.contains(&"proc") && !types.iter().any(|one| ["9p", "virtiofs"].contains(one)), "{mounts}");
    let drivers = guest.shell("for d in /sys/bus/virtio/devices/*/driver; do readlink -f $d; done");
    let names: Vec<&str> = drivers.lines().filter_map(|line| line.rsplit('/').next()).collect();
    assert!(names.contains(&"virtio_blk"), "{names:?}");
    let broken = ["virtio_balloon", "9pnet_virtio", "virtiofs"];
    assert!(!names.iter().any(|name| broken.contains(name)), "{names:?}");
    // Bound now, so that it can tell later. Its bus depends on the kernel.
    let devices = guest.shell("ls -d /sys/bus/*/drivers/vmgenid/*:* 2>/dev/null || true");
    assert!(!devices.trim().is_empty(), "no device is bound to the driver vmgenid");
    assert!(!guest.shell("dmesg").contains(RESEEDED), "it says so before it was ever restored");
}

/// The other QEMU has another generation id.
pub(super) fn reseeded(guest: &mut LiveGuest<'_>) {
    guest.wait("the kernel to reseed", Duration::from_secs(60), |guest, _| {
        let told = guest.shell("dmesg").contains(RESEEDED);
        Ok(if told { Look::Ready(()) } else { Look::NotYet("its messages do not tell of it".to_owned()) })
    });
}
