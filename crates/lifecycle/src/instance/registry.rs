//! The instances of a project: which there are, who owns them, and destroying one with all its files.

use std::fs::File;
use std::time::Duration;

use host::files;
use host::identity::ProcessHandle;
use host::lock::{Attempt, FileLock, Sharing};
use model::event::Silent;
use model::instance::InstanceName;
use model::paths::ProjectPaths;
use model::{Error, ErrorClass, EventSink, Result};
use qemu::power::Escalation;

use crate::directory::entries;
use crate::instance::observe::{Observed, observe_instance};
use crate::instance::ownership::Asker;
use crate::instance::shutdown;
use crate::instance::suspended_files;

/// The names of all instances that have a directory: the default one, then the others by name.
pub fn names(project: &ProjectPaths) -> Vec<InstanceName> {
    let mut names: Vec<InstanceName> = std::fs::read_dir(project.instances())
        .into_iter()
        .flatten()
        .filter_map(std::io::Result::ok)
        .filter_map(|entry| InstanceName::with_suffix(entry.file_name().to_str()?).ok())
        .collect();
    names.sort();
    let default = InstanceName::default();
    if project.instance(&default).vm_dir().exists() {
        names.insert(0, default);
    }
    names
}

/// Ends the instance's VM and removes its disk and the files that depend on it. Keys, ports and log stay. Returns how many
/// VMs were ended. The caller holds the instance's lock, or owns the instance.
///
/// # Errors
/// A Timeout error when not even SIGKILL ends a process; an error that names a path.
pub(crate) fn destroy(project: &ProjectPaths, name: &InstanceName, events: &dyn EventSink) -> Result<u32> {
    let asker = Asker { name, project };
    let paths = asker.paths();
    let mut ended = 0;
    while let Some(process) = process(asker, events)? {
        shutdown::end(&process, &paths, &Escalation::hard(), events)?;
        ended += 1;
    }
    suspended_files::discard(&paths.suspended())?;
    let own = [
        paths.state_file(),
        paths.pid(),
        paths.disk(),
        paths.begun_state(),
        paths.working_set(),
        paths.cluster(),
        paths.known_hosts(),
        paths.ssh_config(),
        paths.authorized_keys(),
        paths.instance_data(),
        paths.image_archives(),
    ];
    own.iter().try_for_each(|file| files::remove(file))?;
    Ok(ended)
}

/// The same, and removes the directory of a named instance.
///
/// # Errors
/// As [`destroy`].
pub(crate) fn delete(project: &ProjectPaths, name: &InstanceName, events: &dyn EventSink) -> Result<u32> {
    let ended = destroy(project, name, events)?;
    if name.suffix().is_some() {
        remove_directory(project, name)?;
    }
    Ok(ended)
}

/// The suffix of a directory that is being removed. No instance has such a name.
const REMOVED: &str = ".removed";
/// How long another process may take that removes the same directory.
const REMOVE_DEADLINE: Duration = Duration::from_secs(60);

/// Renames the directory first, so that what another process makes under its name meanwhile, such as a lock, is not removed
/// with it.
fn remove_directory(project: &ProjectPaths, name: &InstanceName) -> Result<()> {
    let directory = project.instance(name).dir().to_owned();
    let what = format!("the directory of {name}");
    let Some(_lock) = FileLock::acquire_existing(&directory, Sharing::Alone, &what, REMOVE_DEADLINE, &Silent)? else {
        return Ok(());
    };
    let removed = project.instances().join(format!(".{}{REMOVED}", uuid::Uuid::new_v4().simple()));
    files::rename(&directory, &removed)?;
    files::remove(&removed)
}

/// Removes the directories whose removal was cut off by a kill.
fn finish_removals(project: &ProjectPaths) -> Result<()> {
    for directory in entries(&project.instances())? {
        let is_removed =
            directory.file_name().is_some_and(|name| name.as_encoded_bytes().ends_with(REMOVED.as_bytes()));
        if is_removed && let Ok(Attempt::Locked(_lock)) = FileLock::try_acquire_existing(&directory, Sharing::Alone) {
            files::remove(&directory)?;
        }
    }
    Ok(())
}

fn process(asker: Asker<'_>, events: &dyn EventSink) -> Result<Option<ProcessHandle>> {
    Ok(match observe_instance(asker)? {
        Observed::Running(running) => Some(running.process),
        Observed::Orphan(process) => {
            let pid = process.pid();
            events.note(format!("pid {pid} is a QEMU of this instance without a state file: ending it"));
            Some(process)
        }
        Observed::Stopped | Observed::Absent => None,
    })
}

/// The file that marks an instance as owned: it lives no longer than a command. The file is locked as long as that command
/// or its reaper lives.
const OWNER: &str = "owner.lock";

/// Makes the caller the owner of an instance, which is destroyed when the ownership ends: when the last descriptor of the
/// returned file is closed. It can be shared with another process.
///
/// # Errors
/// State when the instance has an owner already; an error that names the path.
pub(crate) fn own(project: &ProjectPaths, name: &InstanceName) -> Result<File> {
    let directory = project.instance(name).dir().to_owned();
    let path = directory.join(OWNER);
    let failed = |error: &std::io::Error| host::io_error::at_path("lock", &path, error);
    loop {
        files::create_private_dir(&directory)?;
        match FileLock::try_acquire_existing(&path, Sharing::Alone)? {
            Attempt::Locked(lock) => {
                if let Some(owner) = lock.into_file() {
                    return Ok(owner);
                }
            }
            Attempt::Missing => {}
            Attempt::InUse => {
                return Err(Error::new(ErrorClass::State, format!("the instance {name} is in use by another command")));
            }
        }
        // Locked before it has its name: otherwise a sweep in between would take its command for gone.
        let file = tempfile::NamedTempFile::new_in(&directory).map_err(|error| failed(&error))?;
        file.as_file().lock().map_err(|error| failed(&error))?;
        match file.persist_noclobber(&path) {
            Ok(file) => return Ok(file),
            // Another process was faster, or the directory is being removed: look again.
            Err(error)
                if matches!(error.error.kind(), std::io::ErrorKind::AlreadyExists | std::io::ErrorKind::NotFound) => {}
            Err(error) => return Err(failed(&error.error)),
        }
    }
}

/// Takes over the ownership from a command that is gone. Nothing where that command, or its reaper, lives.
fn take_over(project: &ProjectPaths, name: &InstanceName) -> Result<Option<File>> {
    match FileLock::try_acquire_existing(&project.instance(name).dir().join(OWNER), Sharing::Alone)? {
        Attempt::Locked(lock) => Ok(lock.into_file()),
        Attempt::InUse | Attempt::Missing => Ok(None),
    }
}

/// Gives the ownership up: the instance stays.
///
/// # Errors
/// An error that names the path.
pub(crate) fn release(project: &ProjectPaths, name: &InstanceName, owner: File) -> Result<()> {
    files::remove(&project.instance(name).dir().join(OWNER))?;
    drop(owner);
    Ok(())
}

/// Whether the instance has an owner, and so lives no longer than a command.
pub(crate) fn is_owned(project: &ProjectPaths, name: &InstanceName) -> bool {
    project.instance(name).dir().join(OWNER).exists()
}

/// Destroys the instances whose commands and reapers were killed. Returns how many.
///
/// # Errors
/// As [`destroy`].
pub fn sweep(project: &ProjectPaths, events: &dyn EventSink) -> Result<usize> {
    finish_removals(project)?;
    let mut swept = 0;
    for name in names(project) {
        let Some(_owner) = take_over(project, &name)? else { continue };
        events.debug(format!("the owner of {name} is gone: destroying it"));
        delete(project, &name, events)?;
        swept += 1;
    }
    Ok(swept)
}

#[cfg(test)]
mod tests {
    use model::event::Silent;

    use super::*;

    fn name(number: usize) -> InstanceName {
        InstanceName::with_suffix(&format!("run-{number}")).expect("a name")
    }

    #[test]
    fn a_sweep_destroys_only_instances_whose_owner_is_gone() {
        let directory = tempfile::tempdir().expect("a directory");
        let project = ProjectPaths::new(directory.path());
        let owned = own(&project, &name(1)).expect("a claim");
        drop(own(&project, &name(2)).expect("a claim"));
        files::create_private_dir(project.instance(&name(3)).dir()).expect("a clone");
        assert_eq!(sweep(&project, &Silent).expect("a sweep"), 1);
        let there = |number| project.instance(&name(number)).dir().exists();
        assert_eq!([1, 2, 3].map(there), [true, false, true]);
        let error = own(&project, &name(1)).expect_err("it is owned");
        assert_eq!(error.to_string(), "the instance k3s-vm-run-1 is in use by another command");
        drop(owned);
        assert_eq!(sweep(&project, &Silent).expect("a sweep"), 1);
        assert!(!there(1));
    }

    #[test]
    fn two_owned_an_instance_whose_owner_was_gone() {
        let directory = tempfile::tempdir().expect("a directory");
        let project = ProjectPaths::new(directory.path());
        for number in 0..100 {
            drop(own(&project, &name(number)).expect("a claim"));
            let start = std::sync::Barrier::new(4);
            let claims: Vec<File> = std::thread::scope(|scope| {
                let claim = || {
                    start.wait();
                    own(&project, &name(number)).ok()
                };
                let claims: Vec<_> = (0..4).map(|_| scope.spawn(claim)).collect();
                claims.into_iter().filter_map(|claim| claim.join().expect("a claim")).collect()
            });
            assert_eq!(claims.len(), 1);
        }
    }

    #[test]
    fn a_removal_that_was_killed_is_finished_and_one_that_runs_is_left_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        let project = ProjectPaths::new(directory.path());
        let left = |name: &str| {
            let directory = project.instances().join(format!(".{name}{REMOVED}"));
            std::fs::create_dir_all(directory.join("vm")).expect("a directory");
            directory
        };
        let (dead, live) = (left("dead"), left("live"));
        let _running = FileLock::try_acquire_existing(&live, Sharing::Alone).expect("a lock");
        sweep(&project, &Silent).expect("a sweep");
        assert_eq!((dead.exists(), live.exists()), (false, true));
    }

    #[test]
    fn a_sweep_took_the_instance_of_a_command_that_had_just_made_its_directory() {
        let directory = tempfile::tempdir().expect("a directory");
        let project = ProjectPaths::new(directory.path());
        std::thread::scope(|scope| {
            let claims = scope
                .spawn(|| (0..300).map(|number| own(&project, &name(number)).expect("a claim")).collect::<Vec<_>>());
            while !claims.is_finished() {
                assert_eq!(sweep(&project, &Silent).expect("a sweep"), 0);
            }
        });
    }
}
