//! Point 3: sshd accepts the keys and has the host key of the running QEMU.

use std::time::Duration;

use host::wait::Look;

use super::guest::LiveGuest;

/// The guest's file with the instance's data.
const INSTANCE: &str = "/sys/firmware/qemu_fw_cfg/by_name/opt/k3s-vm/instance.json/raw";
/// The time from the agent's first answer to sshd's, on a busy host.
const SSHD: Duration = Duration::from_secs(180);
/// The output of the first login, which also proves the host key: ssh checks it before.
const GREETING: &str = "inside as 0\n";

/// Waits for the first login.
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

/// When sshd refuses a login it lists the methods that it accepts: only public keys.
pub(super) fn refuses(guest: &mut LiveGuest<'_>) {
    let output = guest.credentials.with_a_strangers_key().login(guest.ssh, "echo inside");
    assert_refused(&output);
}

/// The data are as the host wrote them, padded to the constant size.
pub(super) fn instance_data(guest: &mut LiveGuest<'_>) {
    let raw = guest.file(INSTANCE);
    assert_eq!(raw.len(), 4096, "its size is not constant");
    assert_eq!(raw.trim_end(), guest.credentials.instance);
}

/// The guest booted with the former QEMU's files, and uses those of the new one.
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
    assert!(
        said.contains("Permission denied (publickey)."),
        "it was not refused, or more than keys is accepted: {said}"
    );
}
