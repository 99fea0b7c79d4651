//! Which instance a QEMU belongs to, by its command line and its working directory. Pure except that it looks whether a
//! directory exists.
//!
//! This is the proof before every signal. In doubt the process is a stranger's.

use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};

use host::process_table::{ProcessInfo, WorkingDirectory};
use model::instance::InstanceName;
use model::paths::{InstancePaths, ProjectPaths};
use serde::Serialize;

use crate::context::Context;

/// The owner of a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "owner", rename_all = "kebab-case")]
pub enum Owner {
    /// This instance.
    Instance,
    /// An instance whose project directory is gone: no project can ever stop it.
    GoneProject {
        /// Where the project was.
        project: PathBuf,
    },
    /// An instance of another project that exists.
    OtherProject {
        /// The project's directory.
        project: PathBuf,
        /// The name of the instance.
        instance: String,
    },
    /// Anybody else.
    Stranger,
}

/// The instance that asks whether a process belongs to it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker<'a> {
    /// Its name.
    pub(crate) name: &'a InstanceName,
    /// Its project.
    pub(crate) project: &'a ProjectPaths,
}

impl<'a> Asker<'a> {
    /// The instance of `context`.
    pub(crate) fn of(context: &'a Context<'_>) -> Self {
        Asker { name: &context.name, project: &context.project.paths }
    }

    /// The paths of its files.
    pub(crate) fn paths(&self) -> InstancePaths {
        self.project.instance(self.name)
    }
}

/// Whether `process` is a QEMU with the name of an instance: the pattern `qemu.*-name k3s-vm`, argument by argument.
pub(crate) fn is_vm(process: &ProcessInfo) -> bool {
    vm_name(process).is_some()
}

/// The owner of `process`, whose working directory is `directory`.
///
/// A QEMU of this tool works in its instance's `vm/` for all its life, so that directory decides: the kernel follows it
/// through renames, and knows when it is removed. Only a process that works elsewhere (a QEMU that a script started) is
/// judged by the files that its command line names.
pub(crate) fn owner(asker: Asker<'_>, process: &ProcessInfo, directory: &WorkingDirectory) -> Owner {
    let Some(name) = vm_name(process) else { return Owner::Stranger };
    let named = files(&process.arguments).find_map(|file| project_of(&file, &name));
    let is_askers = |project: &Path| name == *asker.name && project == asker.project.root();
    let mine = |owner| if process.is_own { owner } else { Owner::Stranger };
    let others = |project: PathBuf| Owner::OtherProject { project, instance: name.to_string() };
    match (directory, named) {
        (WorkingDirectory::Unseen, _) | (WorkingDirectory::Removed, None) => Owner::Stranger,
        (WorkingDirectory::Removed, Some(project)) => {
            mine(if is_askers(&project) { Owner::Instance } else { Owner::GoneProject { project } })
        }
        (WorkingDirectory::At { .. }, named) if directory.is(&asker.paths().vm_dir()) => {
            mine(if named.is_some() && name == *asker.name { Owner::Instance } else { Owner::Stranger })
        }
        (WorkingDirectory::At { path, .. }, named) => match (project_of(path, &name), named) {
            (Some(project), _) => others(project),
            (None, Some(project)) if is_askers(&project) => mine(Owner::Instance),
            (None, Some(project)) if is_there(&project) => others(project),
            // In a project, but not where an instance of that name belongs.
            (None, Some(_)) if path.components().any(|part| part.as_os_str() == ProjectPaths::MARKER) => {
                Owner::Stranger
            }
            (None, Some(project)) => mine(Owner::GoneProject { project }),
            (None, None) => Owner::Stranger,
        },
    }
}

/// A directory that cannot be looked at counts as existing.
fn is_there(project: &Path) -> bool {
    project.join(ProjectPaths::MARKER).try_exists().unwrap_or(true)
}

/// The name of the instance, if the process is a QEMU that has such a name.
fn vm_name(process: &ProcessInfo) -> Option<InstanceName> {
    let program = Path::new(process.arguments.first()?).file_name()?;
    if !program.to_string_lossy().contains("qemu") {
        return None;
    }
    let value = values(&process.arguments, "-name").next()?.to_str()?;
    // qemu-system(1): -name [guest=]string[,process=…]
    let name = value.split(',').next()?;
    let name = name.strip_prefix("guest=").unwrap_or(name);
    match name.strip_prefix(InstanceName::DEFAULT)? {
        "" => Some(InstanceName::default()),
        suffix => InstanceName::with_suffix(suffix.strip_prefix('-')?).ok(),
    }
}

/// The values of an option.
fn values<'a>(arguments: &'a [OsString], option: &'a str) -> impl Iterator<Item = &'a OsStr> {
    arguments.windows(2).filter(move |pair| pair[0] == option).map(|pair| pair[1].as_os_str())
}

/// The files of the VM that a command line names: its pid file first, then its disks.
fn files(arguments: &[OsString]) -> impl Iterator<Item = PathBuf> {
    let block_devices = values(arguments, "-blockdev").filter_map(|value| {
        let device: serde_json::Value = serde_json::from_str(value.to_str()?).ok()?;
        device["filename"].as_str().map(PathBuf::from)
    });
    let drives = values(arguments, "-drive").filter_map(|value| {
        // A comma inside a value is doubled; our paths can be recognized without what follows it.
        value.to_str()?.split(',').find_map(|part| part.strip_prefix("file=")).map(PathBuf::from)
    });
    values(arguments, "-pidfile").map(PathBuf::from).chain(block_devices).chain(drives)
}

/// The project that has `path` as the `vm/` directory of its instance `name`, as a file in there, or as its pid file.
fn project_of(path: &Path, name: &InstanceName) -> Option<PathBuf> {
    let is_plain = |part: &Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
    if !path.is_absolute() || !path.components().all(|part| is_plain(&part)) {
        return None;
    }
    path.ancestors().filter(|directory| directory.file_name() == Some(OsStr::new(ProjectPaths::MARKER))).find_map(
        |state| {
            let project = ProjectPaths::new(state.parent()?);
            let paths = project.instance(name);
            (path == paths.pid() || path.starts_with(paths.vm_dir())).then(|| project.root().to_path_buf())
        },
    )
}

#[cfg(test)]
mod tests;
