//! Connections from a pod of the guest, and from the guest itself.

use std::time::Duration;

use host::wait::Look;
use qemu::agent::GuestCommand;

use super::guest::{CALL, LiveGuest};
use crate::expect::expect_ok;
use crate::pod_network::FIND;

/// The time from a Ready node to its first pod.
const FIRST_POD: Duration = Duration::from_secs(300);

/// Who connects.
#[derive(Debug, Clone)]
pub(super) enum Who {
    /// A pod, by the pid of a process in its network namespace.
    Pod(String),
    /// The guest itself, and so every hostNetwork pod.
    Guest,
}

/// Waits for a running pod; the cluster's DNS is the first.
pub(super) fn any(guest: &mut LiveGuest<'_>) -> Who {
    guest.wait("a pod with a network", FIRST_POD, |guest, _| {
        let found = guest.shell(FIND).trim().to_owned();
        Ok(if found.is_empty() { Look::NotYet("there is none".to_owned()) } else { Look::Ready(Who::Pod(found)) })
    })
}

impl Who {
    /// Connects by TCP.
    ///
    /// # Errors
    /// The shell's error message.
    pub(super) fn connects(&self, guest: &LiveGuest<'_>, address: &str, port: u16) -> Result<(), String> {
        // Address and port are arguments, not text of the script.
        let script = "exec timeout 20 bash -c 'exec 3<>\"/dev/tcp/$0/$1\"' \"$1\" \"$2\"".to_owned();
        let mut words = match self {
            Who::Pod(pid) => vec!["-t", pid.as_str(), "-n", "sh", "-c"],
            Who::Guest => vec!["-c"],
        };
        let port = port.to_string();
        words.extend([script.as_str(), "sh", address, port.as_str()]);
        let program = match self {
            Who::Pod(_) => guest.shell("command -v nsenter").trim().to_owned(),
            Who::Guest => "/bin/sh".to_owned(),
        };
        let output = expect_ok(guest.agent().exec(&GuestCommand::new(&program, words), CALL));
        match output.code {
            0 => Ok(()),
            124 => Err("no answer".to_owned()),
            _ => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        }
    }
}
