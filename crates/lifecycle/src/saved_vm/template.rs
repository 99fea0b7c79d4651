//! Templates of a project: saved VMs of its cluster to begin anew with. Caches: whatever is wrong with one, the way
//! without it is taken, with one line that says why.

use std::path::Path;
use std::time::Duration;

use host::deadline::Deadline;
use model::paths::SavedStatePaths;
use model::{ErrorClass, Result};
use qemu::agent::GuestCommand;
use qemu::saved_state::{CompatibilityKey, NewSavedState, SavedState};
use qemu::{Agent, Qmp, Save, StoppedGuest, disk};

use crate::context::Context;
use crate::instance::awake;
use crate::instance::launch;
use crate::instance::observe::Running;
use crate::instance::wait::readiness;
use crate::saved_vm::backing_files::{check_room, shorten_running};
use crate::saved_vm::cluster::SavedCluster;

/// How long one QMP call may take.
pub(crate) const QMP_DEADLINE: Duration = Duration::from_secs(20);
/// No template is older, in days.
const OLDEST: u64 = 30;
/// Nor older than this part of the life of the API's certificates: they are renewed only by a cluster that boots.
const CERTIFICATE_PART: u64 = 4;
/// How long those are waited for who restore what is replaced or removed: QEMU has opened it after moments.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What a template holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A cluster that has just become Ready.
    Ready,
    /// The same, with the project's manifests applied and its application answering.
    Applied,
}

impl Kind {
    /// The name of its directory.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Ready => "ready",
            Kind::Applied => "applied",
        }
    }
}

/// What was saved.
#[derive(Debug)]
pub(crate) struct Kept {
    /// The sealed directory.
    pub(crate) saved_state: SavedState,
    /// How long the guest stood still.
    pub(crate) paused: Duration,
}

/// A saved VM that can be restored: a template or a snapshot.
#[derive(Debug, Clone)]
pub(crate) struct SavedVm {
    /// The directory.
    pub(crate) saved_state: SavedState,
    /// The cluster in it.
    pub(crate) cluster: SavedCluster,
}

impl SavedVm {
    /// The one in `directory`.
    ///
    /// # Errors
    /// Why there is none that can be used, as a part of a sentence.
    pub(crate) fn open(directory: &Path) -> Result<Self, String> {
        let saved_state = SavedState::open(directory)?;
        let cluster = SavedCluster::read(&saved_state.paths().cluster())?;
        Ok(SavedVm { saved_state, cluster })
    }

    /// Whether it can be restored with what is there now, and its certificates are good for long.
    ///
    /// # Errors
    /// Why not, as a part of a sentence.
    pub(crate) fn fits(&self, now: &CompatibilityKey, certificate_days: u32) -> Result<(), String> {
        self.saved_state.fits(now)?;
        self.is_younger(OLDEST.min(u64::from(certificate_days) / CERTIFICATE_PART))
    }

    /// The same for what the user has kept, which is used as long as its certificates have some time left.
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

/// The template of this kind, where one fits.
///
/// # Errors
/// Why there is none that can be used, as a part of a sentence.
pub(crate) fn find(
    context: &Context<'_>,
    kind: Kind,
    now: &CompatibilityKey,
    certificate_days: u32,
) -> Result<SavedVm, String> {
    let saved_vm = SavedVm::open(&context.project.paths.templates().join(kind.name()))?;
    saved_vm.fits(now, certificate_days)?;
    Ok(saved_vm)
}

/// Removes the template of this kind.
///
/// # Errors
/// An error that names the path.
pub(crate) fn remove(context: &Context<'_>, kind: Kind) -> Result<()> {
    discard(context, &context.project.paths.templates().join(kind.name()), PATIENCE)
}

/// Makes a template of the running instance as it stands, in place of the one of this kind. The guest goes on after a
/// second or less.
///
/// # Errors
/// Errors of the guest's sync, of saving and of writing; the instance runs on whatever happens.
pub(crate) fn make(context: &Context<'_>, kind: Kind, running: &Running, cluster: &SavedCluster) -> Result<Kept> {
    let target = context.project.paths.templates().join(kind.name());
    save_running(context, running, &target, "the template", cluster)
}

/// Saves the running instance into the sealed directory `target`, which takes the place of what is there; `what` names it
/// for the user.
///
/// # Errors
/// As [`make`]; Host and State where there is no room for it.
pub(crate) fn save_running(
    context: &Context<'_>,
    running: &Running,
    target: &Path,
    what: &str,
    cluster: &SavedCluster,
) -> Result<Kept> {
    let (paths, timeouts) = (context.paths(), &context.project.config.timeouts);
    let new_state = NewSavedState::begin(target)?;
    awake::ensure(context)?;
    let state_file = &running.state_file;
    let (ram, state) = (new_state.ram(), new_state.state());
    let begun_from = paths.begun_state();
    let save = Save { begun_from: &begun_from, ram: &ram, state: &state, deadline: timeouts.save };
    let mut qmp = Qmp::connect(&paths.vm_dir(), timeouts.save)?;
    check_room(context, what, save.ram_to_write(&mut qmp)?, target)?;
    // Connected until the save is over: in a guest that is restored the agent then waits for its host's words, and does not
    // look ten times a second whether there is a host.
    let mut agent = sync_guest(context, timeouts.save)?;
    let pool = context.pool();
    let (saved, paused) = {
        // Until the saved VM has a link of its own to the frozen disk.
        let locked = pool.lock(context.events)?;
        let frozen = locked.name_of(new_state.generation());
        let prepared = save.prepare(&mut qmp, context.events)?;
        host::interrupt::check()?;
        // Until the guest's clock is set.
        let _deferred = host::interrupt::defer();
        let mut guest = StoppedGuest::stop(&mut qmp, context.events)?;
        // The disk first: QEMU syncs it, which on journalling filesystems would have to wait for the RAM's data, too.
        let done = disk::add_overlay(&mut guest, &paths.disk(), &frozen, context.events)
            .and_then(|()| prepared.write(&mut guest));
        // Dropped after a failure, it resumes as well, and warns where it does not.
        let done = done.map(|saved| (saved, guest.resume()));
        // While it was paused, so was its clock.
        readiness::set_clock_by(&mut agent, context.events);
        let (saved, resumed) = done?;
        let paused = resumed?;
        new_state.link_disk(&frozen)?;
        (saved, paused)
    };
    drop(agent);
    host::interrupt::check()?;
    saved.complete()?;
    // The last moment at which there is nothing of it.
    host::interrupt::check()?;
    cluster.write(&new_state.paths().cluster())?;
    if !begun_from.exists() {
        // What a VM that has booted says of its RAM, too, is the same in its next save.
        launch::keep(Some(&state), &begun_from)?;
    }
    let template = new_state.replace(
        state_file.memory,
        &state_file.compatibility_key,
        timeouts.lock.min(PATIENCE),
        context.events,
    )?;
    // A longer chain is slower, not wrong.
    match shorten_running(&pool, &mut qmp, &paths.disk(), timeouts.disk, context.events) {
        Err(error) if error.class() == ErrorClass::Interrupted => return Err(error),
        Err(error) => context.events.warning(error.to_string()),
        Ok(_) => {}
    }
    // The frozen disk of what was there before, if nothing else needs it.
    pool.lock(context.events)?.collect(context.events)?;
    Ok(Kept { saved_state: template, paused: paused })
}

/// Has the guest write what it holds in memory of its disk, so that RAM and disk can also be parted. Its agent has to
/// answer within `patience`; it is connected.
///
/// # Errors
/// Timeout and Guest errors of the agent.
pub(crate) fn sync_guest(context: &Context<'_>, patience: Duration) -> Result<Agent> {
    let deadline = Deadline::after(context.project.config.timeouts.save);
    let mut agent = Agent::connect(&context.paths().vm_dir(), deadline.left().min(patience))?;
    agent
        .run(&GuestCommand::new("/bin/sync", [] as [&str; 0]), deadline.left())
        .map_err(|error| error.as_reason_of(ErrorClass::Guest, "the guest did not write its data to the disk"))?;
    Ok(agent)
}

/// Bytes that a sealed directory takes on the disk, without its frozen disk, which may be needed elsewhere.
pub(crate) fn usage_without_disk(paths: &SavedStatePaths) -> u64 {
    let disk = paths.disk().metadata().map_or(0, |metadata| host::files::on_disk(&metadata));
    qemu::saved_state::usage(paths.dir()).saturating_sub(disk)
}

/// Removes a saved VM; whoever is about to restore it is waited for, for `patience` at most.
///
/// # Errors
/// As [`qemu::saved_state::remove`].
pub(crate) fn discard(context: &Context<'_>, directory: &Path, patience: Duration) -> Result<()> {
    qemu::saved_state::remove(directory, patience, context.events)
}
