//! Saving a running VM: its RAM, device state and disk go into a directory, and the guest resumes.

use std::path::Path;
use std::time::Duration;

use host::deadline::Deadline;
use model::{ErrorClass, Result};
use qemu::agent::GuestCommand;
use qemu::saved_state::{NewSavedState, SavedState};
use qemu::{Agent, Qmp, Save, StoppedGuest, disk};

use crate::context::Context;
use crate::instance::awake;
use crate::instance::launch;
use crate::instance::observe::Running;
use crate::instance::saved_cluster::SavedCluster;
use crate::instance::wait::guest;
use crate::saved_vm::PATIENCE;
use crate::saved_vm::backing_files::{BackingFiles, check_room, shorten_running};

/// A VM that was saved.
#[derive(Debug)]
pub(crate) struct Saved {
    /// Its RAM, device state and disk.
    pub(crate) saved_state: SavedState,
    /// How long the guest was paused.
    pub(crate) paused: Duration,
}

/// Saves the running instance into the directory `target`, in place of the saved VM that is there; `what` names it for
/// the user.
///
/// # Errors
/// Host and State where there is no room for it; errors of the guest's sync, of saving and of writing. The instance runs
/// on after any of them.
pub(crate) fn save_running(
    context: &Context<'_>,
    running: &Running,
    target: &Path,
    what: &str,
    cluster: &SavedCluster,
) -> Result<Saved> {
    let (paths, timeouts) = (context.paths(), &context.project.config.timeouts);
    let new_state = NewSavedState::begin(target)?;
    awake::ensure(context)?;
    let state_file = &running.state_file;
    let (ram, state) = (new_state.ram(), new_state.state());
    let begun_from = paths.begun_state();
    let save = Save { begun_from: &begun_from, ram: &ram, state: &state, deadline: timeouts.save };
    let mut qmp = Qmp::connect(&paths.vm_dir(), timeouts.save)?;
    check_room(context, what, save.ram_to_write(&mut qmp)?, target)?;
    // Connected until the save is over: then the agent of a restored guest waits for its host to send, instead of polling
    // ten times a second for a connection.
    let mut agent = sync_guest(context, timeouts.save)?;
    let backing_files = BackingFiles::of_project(&context.project);
    let (saved, paused) = {
        // Until the saved VM has a hard link of its own to the backing file.
        let locked = backing_files.lock(context.events)?;
        let backing_file = locked.path_of(new_state.generation());
        let prepared = save.prepare(&mut qmp, context.events)?;
        host::interrupt::check()?;
        // Until the guest's clock is set.
        let _deferred = host::interrupt::defer();
        let mut guest = StoppedGuest::stop(&mut qmp, context.events)?;
        // The disk first: QEMU syncs it, which on journalling filesystems would wait for the RAM's data, too.
        let done = disk::add_overlay(&mut guest, &paths.disk(), &backing_file, context.events)
            .and_then(|()| prepared.write(&mut guest));
        // After a failure the guest resumes when it is dropped, with a warning where it does not.
        let done = done.map(|saved| (saved, guest.resume()));
        // The guest's clock stopped while it was paused.
        guest::set_clock_by(&mut agent, context.events);
        let (saved, resumed) = done?;
        let paused = resumed?;
        new_state.link_disk(&backing_file)?;
        (saved, paused)
    };
    drop(agent);
    host::interrupt::check()?;
    saved.complete()?;
    // The last moment at which an interrupt leaves no saved VM.
    host::interrupt::check()?;
    cluster.write(&new_state.paths().cluster())?;
    if !begun_from.exists() {
        // The next save of a VM that has booted compares with this one, too.
        launch::link_or_copy(&state, &begun_from)?;
    }
    let saved_state = new_state.replace(
        state_file.memory,
        &state_file.compatibility_key,
        timeouts.lock.min(PATIENCE),
        context.events,
    )?;
    // A longer chain is slower, but works.
    match shorten_running(&backing_files, &mut qmp, &paths.disk(), timeouts.disk, context.events) {
        Err(error) if error.class() == ErrorClass::Interrupted => return Err(error),
        Err(error) => context.events.warning(error.to_string()),
        Ok(_) => {}
    }
    // The backing file of the saved VM that was replaced, if nothing else needs it.
    backing_files.lock(context.events)?.collect(context.events)?;
    Ok(Saved { saved_state, paused })
}

/// Has the guest write its dirty pages to its disk, so that the disk alone can be booted, too. The guest agent has to
/// answer within `patience`. Returns the connection to it.
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
