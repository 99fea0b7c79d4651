//! Point 6: kernel modules by name, and the power button.

use std::time::{Duration, Instant};

use qemu::Qmp;

use super::guest::{CALL, LiveGuest};
use crate::expect::expect_ok;

/// Enough to power off with all pods; a unit that ignores SIGTERM takes ninety seconds.
const POWER_OFF: Duration = Duration::from_secs(60);
/// Modules, and a check that passes only when they work.
const MODULES: [(&str, &str); 3] = [
    ("overlay", "grep -qw overlay /proc/filesystems"),
    ("br_netfilter", "test -e /proc/sys/net/bridge/bridge-nf-call-iptables"),
    ("nf_conntrack", "test -e /proc/sys/net/netfilter/nf_conntrack_max"),
];

/// Each module works, and is built in or named in modules-load.d(5), so that it needs nothing else to load it.
pub(super) fn modules(guest: &mut LiveGuest<'_>) {
    for (module, works) in MODULES {
        let output = guest.shell(&format!("{works} && echo yes || true"));
        assert_eq!(output.trim(), "yes", "{module} does not work: {works}");
        // Only a loadable module has this file.
        let is_loadable = guest.shell(&format!("test -e /sys/module/{module}/initstate && echo yes || true"));
        if is_loadable.trim() == "yes" {
            let files = "/etc/modules-load.d/*.conf /usr/lib/modules-load.d/*.conf /run/modules-load.d/*.conf";
            let named = guest.shell(&format!("cat {files} 2>/dev/null || true"));
            assert!(named.lines().any(|line| line.trim() == module), "nothing names {module}:\n{named}");
        }
    }
}

/// QEMU reports that the guest has powered off.
pub(super) fn button(guest: &mut LiveGuest<'_>) {
    let mut qmp = expect_ok(Qmp::connect(&guest.paths.vm_dir(), CALL));
    expect_ok(qmp.power_down());
    let end = Instant::now() + POWER_OFF;
    let mut events = Vec::new();
    while !qmp.is_closed() {
        assert!(Instant::now() < end, "it has not powered off within {POWER_OFF:?}: {events:?}");
        events.extend(expect_ok(qmp.events(Duration::from_secs(1))));
    }
    let shutdown = events.iter().find(|event| event.name == "SHUTDOWN").map(|event| event.data.clone());
    let shutdown = shutdown.unwrap_or_else(|| panic!("QEMU reported no shutdown: {events:?}"));
    assert!(shutdown["guest"] == true && shutdown["reason"] == "guest-shutdown", "{shutdown}");
    assert_eq!(guest.ended(), "exit status: 0");
}
