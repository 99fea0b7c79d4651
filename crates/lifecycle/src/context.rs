//! What every verb works with: the project, the instance, the shared cache and who listens.

use std::path::PathBuf;
use std::process::Command;

use model::config::Ports;
use model::instance::InstanceName;
use model::paths::{CachePaths, InstancePaths};
use model::requirement::Consent;
use model::{EventSink, Result};

use crate::background::{BackgroundCommand, BackgroundTask};
use crate::instance::ownership::Asker;
use crate::instance::ports;
use crate::project::Project;
use crate::saved_vm::backing_files::Pool;

/// The surroundings of a verb.
pub struct Context<'a> {
    /// The project.
    pub project: Project,
    /// The instance.
    pub name: InstanceName,
    /// The cache that projects share.
    pub cache: CachePaths,
    /// The checkout's `guest/` directory, from which images are built.
    pub guest_sources: PathBuf,
    /// The device of KVM, `/dev/kvm`.
    pub kvm_device: PathBuf,
    /// Who listens.
    pub events: &'a dyn EventSink,
    /// How the user agrees to the installation of host packages.
    pub consent: &'a dyn Consent,
    /// How a background process is started.
    pub background: BackgroundCommand,
}

impl<'a> Context<'a> {
    /// The instance's files.
    pub fn paths(&self) -> InstancePaths {
        self.project.paths.instance(&self.name)
    }

    /// Whether it is the instance that the web application's files are for.
    pub fn is_default(&self) -> bool {
        self.name.suffix().is_none()
    }

    /// The host ports of the instance: those of the configuration; one with a name has its own.
    ///
    /// # Errors
    /// Errors of reading, and a Port error where none is free.
    pub fn ports(&self) -> Result<Ports> {
        if self.is_default() { Ok(self.project.config.ports) } else { ports::of(self) }
    }

    /// The instance's kubeconfig on this host.
    pub fn kubeconfig(&self) -> PathBuf {
        if self.is_default() { self.project.web().kubeconfig() } else { self.paths().kubeconfig() }
    }

    /// `verb` as it is to be typed for this instance: `k3s-vm stop --name NAME`.
    pub(crate) fn command(&self, verb: &str) -> String {
        match self.name.suffix() {
            None => format!("k3s-vm {verb}"),
            Some(name) => format!("k3s-vm {verb} --name {name}"),
        }
    }

    /// The command of a background process for this project.
    ///
    /// # Errors
    /// As [`BackgroundCommand`].
    pub(crate) fn background(&self, task: BackgroundTask<'_>) -> std::io::Result<Command> {
        (self.background)(self.project.paths.root(), task)
    }

    /// The project's backing files.
    pub(crate) fn pool(&self) -> Pool {
        Pool::of(&self.project.paths).waiting(self.project.config.timeouts.lock)
    }

    /// In whose name it is asked whose a process is.
    pub(crate) fn asker(&self) -> Asker<'_> {
        Asker { name: &self.name, project: &self.project.paths }
    }

    /// The same surroundings for another instance of the project.
    pub fn with_name(&self, name: InstanceName) -> Context<'a> {
        Context {
            project: self.project.clone(),
            name,
            cache: self.cache.clone(),
            guest_sources: self.guest_sources.clone(),
            kvm_device: self.kvm_device.clone(),
            events: self.events,
            consent: self.consent,
            background: self.background,
        }
    }
}
