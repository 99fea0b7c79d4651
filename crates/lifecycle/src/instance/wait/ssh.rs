//! Waiting for ssh to the guest.

use std::time::Duration;

use host::deadline::Deadline;
use host::wait::Look;
use model::paths::InstancePaths;
use model::{ErrorClass, Result};
use qemu::agent::GuestScript;

use crate::instance::ssh::guest_command;
use crate::instance::wait::watch::GuestWatch;

/// Waits until a login by ssh succeeds: the guest shows the host key that we made, and accepts our key.
///
/// # Errors
/// Timeout and Guest errors of the watch.
pub(crate) fn wait(watch: &mut GuestWatch<'_>, paths: &InstancePaths, deadline: Deadline) -> Result<()> {
    watch.wait("ssh to the guest", deadline, |left| {
        let limit = left.clamp(Duration::from_secs(1), Duration::from_secs(60));
        match guest_command(paths, GuestScript::new("true"), &[], limit)?.output() {
            Ok(output) if output.code == 0 => Ok(Look::Ready(())),
            Ok(output) => {
                let text = String::from_utf8_lossy(&output.stderr);
                Ok(Look::NotYet(text.lines().last().unwrap_or("ssh failed without a message").to_owned()))
            }
            Err(error) if error.class() == ErrorClass::Timeout => Ok(Look::NotYet(error.to_string())),
            Err(error) => Err(error),
        }
    })
}
