//! A saved VM in its directory: reading it, whether its RAM can be used, and removing it.

use std::path::Path;
use std::time::Duration;

use model::config::Accel;
use model::paths::SavedStatePaths;
use model::{EventSink, Result};
use qemu::Qemu;
use qemu::accelerator::Choice;
use qemu::saved_state::{CompatibilityKey, SavedState};

use crate::context::Context;
use crate::instance::launch::VmLaunch;
use crate::instance::saved_cluster::SavedCluster;

/// No template that is older than this, in days, is used.
const OLDEST: u64 = 30;
/// Nor one that is older than this part of the life of the API's certificates: only a cluster that boots renews them.
const CERTIFICATE_PART: u64 = 4;
/// How long to wait for a restore before the saved VM is replaced or removed. QEMU opens all of it within moments.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A saved VM that can be restored: a template or a snapshot.
#[derive(Debug, Clone)]
pub(crate) struct SavedVm {
    /// Its RAM, device state and disk.
    pub(crate) saved_state: SavedState,
    /// The cluster in it.
    pub(crate) cluster: SavedCluster,
}

impl SavedVm {
    /// The saved VM in `directory`.
    ///
    /// # Errors
    /// Why there is none that can be used, as a part of a sentence.
    pub(crate) fn open(directory: &Path) -> Result<Self, String> {
        let saved_state = SavedState::open(directory)?;
        let cluster = SavedCluster::read(&saved_state.paths().cluster())?;
        Ok(SavedVm { saved_state, cluster })
    }

    /// Whether a template can be restored with the compatibility key of `now`, and its certificates stay valid for long.
    ///
    /// # Errors
    /// Why not, as a part of a sentence.
    pub(crate) fn fits(&self, now: &CompatibilityKey, certificate_days: u32) -> Result<(), String> {
        self.saved_state.fits(now)?;
        self.is_younger(OLDEST.min(u64::from(certificate_days) / CERTIFICATE_PART))
    }

    /// The same for a snapshot, which is used until shortly before its certificates expire.
    ///
    /// # Errors
    /// Why not, as a part of a sentence.
    pub(crate) fn fits_as_snapshot(&self, now: &CompatibilityKey, certificate_days: u32) -> Result<(), String> {
        self.saved_state.fits(now)?;
        let days = u64::from(certificate_days);
        self.is_younger(days - days / CERTIFICATE_PART)
    }

    fn is_younger(&self, days: u64) -> Result<(), String> {
        let Some(age) = self.saved_state.age() else {
            return Err("it is from the future: the clock went back".to_owned());
        };
        if age < DAY.saturating_mul(u32::try_from(days).unwrap_or(u32::MAX)) {
            return Ok(());
        }
        Err(format!("it is more than {days} days old"))
    }
}

/// Whether the RAM of a saved VM can be used with this host and configuration, under any accelerator that the
/// configuration allows. `rule` is [`SavedVm::fits`] or [`SavedVm::fits_as_snapshot`].
///
/// # Errors
/// Why not, as a part of a sentence.
pub(crate) fn fits_now(
    context: &Context<'_>,
    qemu: &Qemu,
    saved_vm: &SavedVm,
    rule: fn(&SavedVm, &CompatibilityKey, u32) -> Result<(), String>,
) -> Result<(), String> {
    let image =
        guest_image::open(&saved_vm.cluster.image_directory, &context.cache).map_err(|error| error.to_string())?;
    let choices = match context.project.config.vm.accel {
        Accel::Auto => vec![Choice::ordered_tcg(), Choice::proven_kvm()],
        Accel::Tcg => vec![Choice::ordered_tcg()],
        Accel::Kvm => vec![Choice::proven_kvm()],
    };
    let node_port = context.project.config.ports.web;
    let mut why = None;
    for choice in &choices {
        let vm = VmLaunch { context, image: &image, qemu, choice, node_port };
        let now = vm.compatibility_key().map_err(|error| error.to_string());
        match now.and_then(|now| rule(saved_vm, &now, image.manifest.certificate_days)) {
            Ok(()) => return Ok(()),
            // The first difference says more than that the other accelerator is another one.
            Err(difference) => why = why.or(Some(difference)),
        }
    }
    why.map_or(Ok(()), Err)
}

/// The bytes that a saved VM takes on the host's disk, without its own disk, which may be a backing file of others.
pub(crate) fn usage_without_disk(paths: &SavedStatePaths) -> u64 {
    let disk = paths.disk().metadata().map_or(0, |metadata| host::files::on_disk(&metadata));
    qemu::saved_state::usage(paths.dir()).saturating_sub(disk)
}

/// Removes a saved VM. A restore that is about to open it is waited for, for `patience` at most.
///
/// # Errors
/// As [`qemu::saved_state::remove`].
pub(crate) fn discard(directory: &Path, patience: Duration, events: &dyn EventSink) -> Result<()> {
    qemu::saved_state::remove(directory, patience, events)
}
