//! What every verb works with: the project, the instance, the shared cache and who listens.

use std::path::PathBuf;
use std::time::Duration;

use host::lock::FileLock;
use host::packages::Consent;
use model::instance::InstanceName;
use model::paths::{CachePaths, InstancePaths};
use model::{EventSink, Result};

use crate::ownership::Asker;
use crate::project::Project;
use crate::vm_log;

/// How long a verb waits for another one on the same instance.
const LOCK_DEADLINE: Duration = Duration::from_secs(1800);

/// The surroundings of a verb.
pub struct Context<'a> {
    /// The project.
    pub project: Project,
    /// The instance.
    pub name: InstanceName,
    /// The cache that projects share.
    pub cache: CachePaths,
    /// The checkout's `guest/` folder, from which images are built.
    pub guest_sources: PathBuf,
    /// The device of KVM, `/dev/kvm`.
    pub kvm_device: PathBuf,
    /// Who listens.
    pub events: &'a dyn EventSink,
    /// How the user agrees to the installation of host packages.
    pub consent: &'a dyn Consent,
}

impl Context<'_> {
    /// The instance's files.
    pub fn paths(&self) -> InstancePaths {
        self.project.paths.instance(&self.name)
    }

    /// In whose name it is asked whose a process is.
    pub(crate) fn asker(&self) -> Asker<'_> {
        Asker { name: &self.name, project: &self.project.paths }
    }

    /// Takes the instance's lock for a whole verb.
    ///
    /// # Errors
    /// A State fault that names the holder when it is not released in time.
    pub fn lock(&self) -> Result<FileLock> {
        let paths = self.paths();
        host::files::create_private_dir(&paths.vm_dir())?;
        let lock = FileLock::acquire(&paths.lock(), &format!("instance {}", self.name), LOCK_DEADLINE, self.events)?;
        vm_log::bound(&paths.log())?;
        Ok(lock)
    }
}
