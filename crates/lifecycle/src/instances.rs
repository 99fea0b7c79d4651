//! The instances of a project: which there are, and how one is destroyed with all that it has.

use std::fs::File;

use host::files;
use host::identity::ProcessHandle;
use model::instance::InstanceName;
use model::paths::ProjectPaths;
use model::{EventSink, Fault, FaultClass, Result};
use qemu::power::Ladder;

use crate::observe::{Observed, observe_instance};
use crate::ownership::Asker;
use crate::stop;

/// The names of all instances that have a folder, the default one first, then by name.
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

/// Ends the instance's VM, and removes its disk and what follows from it; keys, ports and log stay. Returns how many VMs
/// it ended. The caller holds the instance's lock, or owns it.
///
/// # Errors
/// A Timeout fault when not even SIGKILL ends a process; a fault that names a path.
pub(crate) fn destroy(project: &ProjectPaths, name: &InstanceName, events: &dyn EventSink) -> Result<u32> {
    let asker = Asker { name, project };
    let paths = asker.paths();
    let mut ended = 0;
    while let Some(process) = process(asker, events)? {
        stop::end(&process, &paths, &Ladder::hard(), events)?;
        ended += 1;
    }
    let kept = paths.suspended();
    let suspended = [kept.description(), kept.ram(), kept.state()];
    let own = [
        paths.record(),
        paths.pid(),
        paths.disk(),
        paths.cluster(),
        paths.known_hosts(),
        paths.ssh_config(),
        paths.authorized_keys(),
        paths.instance_data(),
        paths.image_archives(),
    ];
    suspended.iter().chain(&own).try_for_each(|file| files::remove(file))?;
    Ok(ended)
}

/// The same; of an instance with a name nothing is left.
///
/// # Errors
/// As [`destroy`].
pub(crate) fn delete(project: &ProjectPaths, name: &InstanceName, events: &dyn EventSink) -> Result<u32> {
    let ended = destroy(project, name, events)?;
    if name.suffix().is_some() {
        files::remove(project.instance(name).dir())?;
    }
    Ok(ended)
}

fn process(asker: Asker<'_>, events: &dyn EventSink) -> Result<Option<ProcessHandle>> {
    Ok(match observe_instance(asker)? {
        Observed::Running(running) => Some(running.process),
        Observed::Orphan(process) => {
            let pid = process.pid();
            events.note(format!("pid {pid} is a QEMU of this instance without a record: ending it"));
            Some(process)
        }
        Observed::Stopped | Observed::Absent => None,
    })
}

/// Whose the instances are that live no longer than a command: the file is locked as long as that command, or who looks
/// after it, lives.
const OWNER: &str = "owner.lock";

/// A claim on an instance that is to be destroyed when it ends; as a descriptor it can be shared with another process.
///
/// # Errors
/// State when the instance has an owner already; a fault that names the path.
pub(crate) fn own(project: &ProjectPaths, name: &InstanceName) -> Result<File> {
    let folder = project.instance(name).dir().to_owned();
    files::create_private_dir(&folder)?;
    let path = folder.join(OWNER);
    let failed = |error: &std::io::Error| host::io_fault::at_path("lock", &path, error);
    let file = File::create(&path).map_err(|error| failed(&error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            Err(Fault::new(FaultClass::State, format!("the instance {name} is in use by another command")))
        }
        Err(std::fs::TryLockError::Error(error)) => Err(failed(&error)),
    }
}

/// Gives the claim up: the instance stays.
///
/// # Errors
/// A fault that names the path.
pub(crate) fn release(project: &ProjectPaths, name: &InstanceName, owner: File) -> Result<()> {
    files::remove(&project.instance(name).dir().join(OWNER))?;
    drop(owner);
    Ok(())
}

/// Whether the instance lives no longer than a command.
pub(crate) fn is_owned(project: &ProjectPaths, name: &InstanceName) -> bool {
    project.instance(name).dir().join(OWNER).exists()
}

/// Destroys instances whose commands are gone without a word, with their guards; how many.
///
/// # Errors
/// As [`destroy`].
pub fn sweep(project: &ProjectPaths, events: &dyn EventSink) -> Result<usize> {
    let mut swept = 0;
    for name in names(project) {
        if !is_owned(project, &name) {
            continue;
        }
        let Ok(_owner) = own(project, &name) else { continue };
        events.debug(format!("the command that {name} belonged to is gone: destroying it"));
        delete(project, &name, events)?;
        swept += 1;
    }
    Ok(swept)
}
