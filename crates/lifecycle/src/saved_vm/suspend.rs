//! RAM of an instance that was stopped, kept so that the next start resumes at once. A cache beside the disk, valid as long as
//! the disk has its generation: whoever takes the disk into use, in whatever way, gives it another one first.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use host::files::{self, Mode};
use host::interrupt;
use model::paths::SuspendedPaths;
use model::{Error, ErrorClass, Generation, Result};
use qemu::saved_state::{CompatibilityKey, FileStamp};
use qemu::{Qmp, Save, StoppedGuest, qcow2};
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::instance::observe::Running;
use crate::instance::wait::cluster_now;
use crate::instance::wait::readiness;
use crate::saved_vm::backing_files::entries;
use crate::saved_vm::cluster::SavedCluster;
use crate::saved_vm::template::sync_guest;

/// The version of the format; another one is not understood.
const SCHEMA: u32 = 2;

/// `suspended.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Suspended {
    schema: u32,
    /// What the VM was.
    compatibility_key: CompatibilityKey,
    /// Of the RAM, the state and the disk.
    generation: Generation,
    /// The disk as it was then: other programs change it without another generation, and after a move of the project its
    /// bases have other names.
    disk: FileStamp,
    /// The cluster, where it was Ready; otherwise the start that resumes the VM waits until it is.
    pub(crate) cluster: Option<SavedCluster>,
}

/// Writes RAM and state of a running instance and ends its QEMU. Until the last file is written, the instance is one
/// that was stopped without its RAM. Once the RAM is written an interrupt is deferred until the instance is stopped.
/// A guest whose agent does not answer within `patience` cannot be suspended. Whether its cluster is Ready makes no difference: what is suspended loses nothing, what is powered off its RAM.
///
/// # Errors
/// Why it could not be done; the instance runs on unless QEMU had ended already.
pub(crate) fn save(context: &Context<'_>, running: &Running, patience: Duration) -> Result<()> {
    let (paths, deadline) = (context.paths(), context.project.config.timeouts.save);
    let kept = paths.suspended();
    let cluster = cluster_now::look(context, running, patience)?.ready();
    discard(&kept)?;
    // Connected to the end, as for a template.
    let mut agent = sync_guest(context, patience)?;
    let mut qmp = Qmp::connect(&paths.vm_dir(), deadline)?;
    let generation = qcow2::new_generation();
    let (ram, state) = (kept.ram(&generation), kept.state(&generation));
    let begun_from = paths.begun_state();
    let save = Save { begun_from: &begun_from, ram: &ram, state: &state, deadline };
    let prepared = save.prepare(&mut qmp, context.events)?;
    interrupt::check()?;
    // Until the instance is stopped, or its clock is set.
    let _deferred = interrupt::defer();
    let mut guest = StoppedGuest::stop(&mut qmp, context.events)?;
    // QEMU writes the rest of its disk cache as it ends.
    let saved = match prepared.write(&mut guest).and_then(|saved| guest.quit().map(|()| saved)) {
        Ok(saved) => saved,
        Err(error) => {
            // The guest has resumed, and while it was paused, so was its clock.
            readiness::set_clock_by(&mut agent, context.events);
            return Err(error);
        }
    };
    drop((qmp, agent));
    let synced = std::thread::scope(|scope| {
        let synced = scope.spawn(|| {
            saved.complete()?;
            files::sync(&ram)?;
            files::sync(&state)
        });
        let ended = running.process.wait(deadline);
        let synced = synced.join();
        ended?;
        synced.unwrap_or_else(|_| Err(Error::new(ErrorClass::Failed, "the RAM's file was not synced")))
    });
    if running.process.is_alive() {
        return Err(Error::new(ErrorClass::Timeout, format!("QEMU (pid {}) does not end", running.process.pid())));
    }
    synced?;
    qcow2::set_generation(&paths.disk(), &generation)?;
    let suspended = Suspended {
        schema: SCHEMA,
        compatibility_key: running.state_file.compatibility_key.clone(),
        generation,
        disk: FileStamp::of(&paths.disk())?,
        cluster,
    };
    let text = serde_json::to_vec_pretty(&suspended)
        .map_err(|error| Error::new(ErrorClass::Failed, "cannot describe the suspended VM").because(error))?;
    files::write_atomic(&kept.description(), &text, Mode::Exactly(0o600))
}

/// The suspended VM, where it can go on as what is there now.
///
/// # Errors
/// Why there is none that can, as a part of a sentence; `None` where none was kept.
pub(crate) fn find(kept: &SuspendedPaths, disk: &Path, now: &CompatibilityKey) -> Result<Option<Suspended>, String> {
    let bytes = match files::read_optional(&kept.description()) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let suspended: Suspended = match serde_json::from_slice::<Suspended>(&bytes) {
        Ok(suspended) if suspended.schema == SCHEMA => suspended,
        _ => return Err("it was kept by another version of k3s-vm, or is damaged".to_owned()),
    };
    if let Some(difference) = suspended.compatibility_key.difference(now) {
        return Err(difference);
    }
    let (header, stamp) = match (qcow2::header(disk), FileStamp::of(disk)) {
        (Ok(header), Ok(stamp)) => (header, stamp),
        (Err(error), _) | (_, Err(error)) => return Err(error.to_string()),
    };
    if header.generation.as_ref() != Some(&suspended.generation) {
        return Err("the disk has been in use since".to_owned());
    }
    if stamp != suspended.disk {
        return Err("the disk has changed since, or the project was moved".to_owned());
    }
    Ok(Some(suspended))
}

impl Suspended {
    /// The RAM.
    pub(crate) fn ram(&self, kept: &SuspendedPaths) -> PathBuf {
        kept.ram(&self.generation)
    }

    /// The state of the devices.
    pub(crate) fn state(&self, kept: &SuspendedPaths) -> PathBuf {
        kept.state(&self.generation)
    }

    /// Resumes by `launch`, before which the disk gets another generation: whenever this program or the host ends from then
    /// on, nobody resumes with this RAM once more. Where `launch` fails, no guest has run, and the RAM fits again.
    ///
    /// # Errors
    /// Those of `launch`; an error of writing to the disk.
    pub(crate) fn use_disk<T>(&self, disk: &Path, launch: impl FnOnce() -> Result<T>) -> Result<T> {
        let modified = fs::metadata(disk).and_then(|metadata| metadata.modified());
        qcow2::set_generation(disk, &qcow2::new_generation())?;
        launch().inspect_err(|_| {
            // If not, the disk is booted at the next start.
            if qcow2::set_generation(disk, &self.generation).is_ok()
                && let Ok(modified) = modified
            {
                let _ = fs::File::options().write(true).open(disk).and_then(|disk| disk.set_modified(modified));
            }
        })
    }
}

/// Whether RAM is kept.
pub(crate) fn is_kept(kept: &SuspendedPaths) -> bool {
    kept.description().exists()
}

/// Removes it, its validity first. A QEMU that has it open keeps it until it ends.
///
/// # Errors
/// An error that names the path.
pub(crate) fn discard(kept: &SuspendedPaths) -> Result<()> {
    files::remove(&kept.description())?;
    files(kept)?.iter().try_for_each(|path| files::remove(path))
}

/// All files of suspended VMs, of whatever generation.
///
/// # Errors
/// An error that names the directory.
pub(crate) fn files(kept: &SuspendedPaths) -> Result<Vec<PathBuf>> {
    let is_one = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        name.starts_with(SuspendedPaths::PREFIX.as_bytes())
    };
    Ok(entries(kept.directory())?.into_iter().filter(is_one).collect())
}
