//! Point 3: sshd takes keys and shows the host key of the QEMU that runs now.

use std::time::Duration;

use host::wait::Look;

use super::guest::LiveGuest;

/// Where the guest reads the data of its instance.
const INSTANCE: &str = "/sys/firmware/qemu_fw_cfg/by_name/opt/k3s-vm/instance.json/raw";
/// From the agent's first answer to sshd's, on a busy host.
const SSHD: Duration = Duration::from_secs(180);
/// The client knows the host key before the first login, so this proves it, too.
const GREETING: &str = "inside as 0\n";

/// The first login, as soon as there is an sshd.
pub(super) fn opens(guest: &mut LiveGuest<'_>) {
    guest.wait("a login by ssh", SSHD, |guest, _| {
        let output = guest.credentials.login(guest.ssh, "echo inside as $(id -u)");
        Ok(if output.code == 0 && output.stdout == GREETING.as_bytes() {
            Look::Ready(())
        } else {
            Look::NotYet(String::from_utf8_lossy(&output.stderr).trim().to_owned())
        })
    });
}

/// The server names the ways to log in that it has when it refuses one.
pub(super) fn refuses(guest: &mut LiveGuest<'_>) {
    let output = guest.credentials.with_a_strangers_key().login(guest.ssh, "echo inside");
    assert_refused(&output);
}

/// As the host wrote it, padding aside.
pub(super) fn instance_data(guest: &mut LiveGuest<'_>) {
    let raw = guest.file(INSTANCE);
    assert_eq!(raw.len(), 4096, "its size is not constant");
    assert_eq!(raw.trim_end(), guest.credentials.instance);
}

/// The guest booted under the former QEMU, with other files.
pub(super) fn after_the_restore(guest: &mut LiveGuest<'_>) {
    opens(guest);
    let former = guest.former.as_ref().expect("a former QEMU").at_the_host_of(&guest.credentials);
    assert_refused(&former.login(guest.ssh, "echo inside"));
    instance_data(guest);
}

#[track_caller]
fn assert_refused(output: &host::command::Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.code == 255 && output.stdout.is_empty(), "ssh ended with {}: {said}", output.code);
    assert!(said.contains("Permission denied (publickey)."), "it was not refused, or not for the key alone: {said}");
}
