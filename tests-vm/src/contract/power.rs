//! Point 6: kernel modules by name, and the power button.

use std::time::{Duration, Instant};

use qemu::Qmp;

use super::guest::{CALL, LiveGuest, sound};

/// A power-off with all pods; a unit that ignores SIGTERM would take its ninety seconds.
const POWER_OFF: Duration = Duration::from_secs(60);
/// Modules, and what is there only when they work.
const MODULES: [(&str, &str); 3] = [
    ("overlay", "grep -qw overlay /proc/filesystems"),
    ("br_netfilter", "test -e /proc/sys/net/bridge/bridge-nf-call-iptables"),
    ("nf_conntrack", "test -e /proc/sys/net/netfilter/nf_conntrack_max"),
];

/// Each works, and is built in or named in a file of modules-load.d(5): nothing else had to load it first.
pub(super) fn modules(guest: &mut LiveGuest<'_>) {
    for (module, works) in MODULES {
        let told = guest.shell(&format!("{works} && echo yes || true"));
        assert_eq!(told.trim(), "yes", "{module} does not work: {works}");
        // Only what can be unloaded has it.
        let is_loadable = guest.shell(&format!("test -e /sys/module/{module}/initstate && echo yes || true"));
        if is_loadable.trim() == "yes" {
            let files = "/etc/modules-load.d/*.conf /usr/lib/modules-load.d/*.conf /run/modules-load.d/*.conf";
            let named = guest.shell(&format!("cat {files} 2>/dev/null || true"));
            assert!(named.lines().any(|line| line.trim() == module), "nothing names {module}:\n{named}");
        }
    }
}

/// QEMU tells who ended it: the guest, by itself.
pub(super) fn button(guest: &mut LiveGuest<'_>) {
    let mut qmp = sound(Qmp::connect(&guest.paths.vm_dir(), CALL));
    sound(qmp.power_down());
    let end = Instant::now() + POWER_OFF;
    let mut events = Vec::new();
    while !qmp.is_closed() {
        assert!(Instant::now() < end, "it has not powered off within {POWER_OFF:?}: {events:?}");
        events.extend(sound(qmp.events(Duration::from_secs(1))));
    }
    let shutdown = events.iter().find(|event| event.name == "SHUTDOWN").map(|event| event.data.clone());
    let shutdown = shutdown.unwrap_or_else(|| panic!("QEMU ended without a word: {events:?}"));
    assert!(shutdown["guest"] == true && shutdown["reason"] == "guest-shutdown", "{shutdown}");
    assert_eq!(guest.ended(), "exit status: 0");
}
