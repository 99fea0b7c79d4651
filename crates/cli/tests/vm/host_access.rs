//! `guest.host_access`: what the guest sees, and the warning when it changes.

use testkit::Script;

use crate::process::pid;
use crate::setup::Setup;

/// The value that QEMU passed to the guest.
fn guest_access(setup: &Setup) -> String {
    let words = std::fs::read(format!("/proc/{}/cmdline", pid(setup))).unwrap();
    let words: Vec<_> = words.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
    let values: Vec<_> =
        words.iter().filter_map(|word| word.strip_prefix("name=opt/k3s-vm/host_access,string=")).collect();
    assert_eq!(values.len(), 1, "{words:?}");
    values[0].to_owned()
}

#[test]
fn pods_reached_the_hosts_loopback_without_anybody_having_allowed_it() {
    let setup = Setup::new(&Script::default());
    setup.says(&["start", "--no-wait"], 0);
    assert_eq!(guest_access(&setup), "closed");
}

#[test]
fn access_that_was_revoked_while_the_vm_ran_is_reported_and_gone_at_the_next_start() {
    let setup = Setup::new(&Script::default());
    setup.says(&["start", "--no-wait", "--set", "guest.host_access=true"], 0);
    assert_eq!(guest_access(&setup), "open");
    // Printed with --quiet as well: the user must not believe that access is closed already.
    insta::assert_snapshot!(setup.says(&["start", "--no-wait", "-q"], 0), @"Warning: guest.host_access = false takes effect after `k3s-vm stop` and `k3s-vm start`: its pods still reach the host");
    setup.says(&["stop"], 0);
    setup.says(&["start", "--no-wait"], 0);
    assert_eq!(guest_access(&setup), "closed");
}
