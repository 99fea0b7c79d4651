//! The suspended VM of an instance: its RAM and device state, which `stop` saves and the next start resumes.
//!
//! A cache beside the disk, valid as long as the disk has its generation: every use of the disk gives it another one
//! first.

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
use crate::instance::saved_cluster::SavedCluster;
use crate::instance::suspended_files::discard;
use crate::instance::wait::cluster_now;
use crate::instance::wait::guest;
use crate::saved_vm::save::sync_guest;

/// The version of the format. Files of another version are not read.
const SCHEMA: u32 = 2;

/// `suspended.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Suspended {
    schema: u32,
    /// The compatibility key of the VM.
    compatibility_key: CompatibilityKey,
    /// The generation of RAM, device state and disk.
    generation: Generation,
    /// The disk file as it was then. Other programs change it without giving it another generation, and after the project
    /// was moved its backing files have other names.
    disk: FileStamp,
    /// The cluster, if it was Ready. Otherwise the start that resumes the VM waits until it is.
    pub(crate) cluster: Option<SavedCluster>,
}

/// Saves RAM and device state of a running instance and ends its QEMU.
///
/// Until the last file is written, the instance counts as stopped without saved RAM. From the moment that the guest is
/// paused, an interrupt is deferred until the instance is stopped. A guest whose agent does not answer within `patience`
/// cannot be suspended; one whose cluster is not Ready can.
///
/// # Errors
/// Why it could not be suspended; the instance runs on unless QEMU had ended already.
pub(crate) fn save(context: &Context<'_>, running: &Running, patience: Duration) -> Result<()> {
    let (paths, deadline) = (context.paths(), context.project.config.timeouts.save);
    let suspended_paths = paths.suspended();
    let cluster = cluster_now::look(context, running, patience)?.ready();
    discard(&suspended_paths)?;
    // Connected until the save is over, as for a template.
    let mut agent = sync_guest(context, patience)?;
    let mut qmp = Qmp::connect(&paths.vm_dir(), deadline)?;
    let generation = qcow2::new_generation();
    let (ram, state) = (suspended_paths.ram(&generation), suspended_paths.state(&generation));
    let begun_from = paths.begun_state();
    let save = Save { begun_from: &begun_from, ram: &ram, state: &state, deadline };
    let prepared = save.prepare(&mut qmp, context.events)?;
    interrupt::check()?;
    // Until the instance is stopped, or the guest has resumed and its clock is set.
    let _deferred = interrupt::defer();
    let mut stopped = StoppedGuest::stop(&mut qmp, context.events)?;
    // QEMU writes the rest of its disk cache as it ends.
    let saved = match prepared.write(&mut stopped).and_then(|saved| stopped.quit().map(|()| saved)) {
        Ok(saved) => saved,
        Err(error) => {
            // The guest has resumed. Its clock stopped while it was paused.
            guest::set_clock_by(&mut agent, context.events);
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
    files::write_atomic(&suspended_paths.description(), &text, Mode::Exactly(0o600))
}

/// The suspended VM, if it can be resumed with the compatibility key of `now`; `None` where no VM is suspended.
///
/// # Errors
/// Why it cannot be resumed, as a part of a sentence.
pub(crate) fn find(paths: &SuspendedPaths, disk: &Path, now: &CompatibilityKey) -> Result<Option<Suspended>, String> {
    let bytes = match files::read_optional(&paths.description()) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let suspended: Suspended = match serde_json::from_slice::<Suspended>(&bytes) {
        Ok(suspended) if suspended.schema == SCHEMA => suspended,
        _ => return Err("it was saved by another version of k3s-vm, or is damaged".to_owned()),
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
    /// The file of the RAM.
    pub(crate) fn ram(&self, paths: &SuspendedPaths) -> PathBuf {
        paths.ram(&self.generation)
    }

    /// The file of the device state.
    pub(crate) fn state(&self, paths: &SuspendedPaths) -> PathBuf {
        paths.state(&self.generation)
    }

    /// Gives the disk another generation, then resumes by `launch`: even if this program or the host ends at any moment, no
    /// later start resumes this RAM. Where `launch` fails, no guest has run, and the disk gets its generation back.
    ///
    /// # Errors
    /// Those of `launch`; an error of writing to the disk.
    pub(crate) fn use_disk<T, E: From<Error>>(
        &self,
        disk: &Path,
        launch: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let modified = fs::metadata(disk).and_then(|metadata| metadata.modified());
        qcow2::set_generation(disk, &qcow2::new_generation())?;
        launch().inspect_err(|_| {
            // Where that fails, the next start boots from the disk.
            if qcow2::set_generation(disk, &self.generation).is_ok()
                && let Ok(modified) = modified
            {
                let _ = fs::File::options().write(true).open(disk).and_then(|disk| disk.set_modified(modified));
            }
        })
    }
}
