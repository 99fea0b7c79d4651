//! `reset`: the instance is destroyed and built again. Configuration, manifests and the image cache stay.

use host::files;
use model::Result;
use qemu::power::Ladder;

use crate::context::Context;
use crate::observe::{Observed, observe};
use crate::start::{self, Beginning, StartOptions, StartReport};
use crate::stop;

/// Destroys the instance, an orphan of it included, and starts a new one. What the new one needs is made first, so that
/// a mistake in the configuration or a failed build leaves the old one as it is.
///
/// # Errors
/// As `stop` and `start`.
pub fn run(context: &Context<'_>, options: StartOptions) -> Result<StartReport> {
    let _lock = context.lock()?;
    start::run_locked(context, options, &Beginning::Anew(&|| destroy(context)))
}

/// Ends the process and removes disk, keys and records. The lock file stays: it is held.
fn destroy(context: &Context<'_>) -> Result<String> {
    let paths = context.paths();
    let process = match observe(context)? {
        Observed::Running(running) => Some(running.process),
        Observed::Orphan(process) => {
            context
                .events
                .note(format!("pid {} is a QEMU of this instance without a record: ending it", process.pid()));
            Some(process)
        }
        Observed::Stopped | Observed::Absent => None,
    };
    if let Some(process) = &process {
        stop::end(process, &paths, &Ladder::hard(), context.events)?;
    }
    let had_disk = paths.disk().exists();
    for file in [
        paths.record(),
        paths.pid(),
        paths.disk(),
        paths.ssh_key(),
        paths.ssh_public_key(),
        paths.ssh_host_key(),
        paths.ssh_host_public_key(),
        paths.known_hosts(),
        paths.ssh_config(),
        paths.authorized_keys(),
        paths.instance_data(),
        paths.image_archives(),
    ] {
        files::remove(&file)?;
    }
    Ok(match (process.is_some(), had_disk) {
        (true, _) => "VM ended, disk and keys removed",
        (false, true) => "disk and keys removed",
        (false, false) => "there was none",
    }
    .to_owned())
}
