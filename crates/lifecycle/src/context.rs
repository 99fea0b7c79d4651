//! The surroundings of a verb: project, instance name, cache, events and consent.

use std::path::PathBuf;
use std::process::Command;

use model::EventSink;
use model::instance::InstanceName;
use model::paths::{CachePaths, InstancePaths};
use model::requirement::Consent;

use crate::background::{BackgroundCommand, BackgroundTask};
use crate::project::Project;

/// The surroundings of a verb.
pub struct Context<'a> {
    /// The project with its configuration.
    pub project: Project,
    /// The name of the instance.
    pub name: InstanceName,
    /// The cache that all projects of the user share.
    pub cache: CachePaths,
    /// The checkout's `guest/` directory, from which guest images are built.
    pub guest_sources: PathBuf,
    /// The device of KVM, `/dev/kvm`.
    pub kvm_device: PathBuf,
    /// Receives the events of the verb.
    pub events: &'a dyn EventSink,
    /// Asks the user before host packages are installed.
    pub consent: &'a dyn Consent,
    /// How a background process is started.
    pub background: BackgroundCommand,
}

impl<'a> Context<'a> {
    /// The paths of the instance's files.
    pub fn paths(&self) -> InstancePaths {
        self.project.paths.instance(&self.name)
    }

    /// Whether this is the default instance, the one that the web application's files are written for.
    pub fn is_default(&self) -> bool {
        self.name.suffix().is_none()
    }

    /// The instance's kubeconfig on this host.
    pub fn kubeconfig(&self) -> PathBuf {
        if self.is_default() { self.project.web().kubeconfig() } else { self.paths().kubeconfig() }
    }

    /// The command line of `verb` for this instance: `k3s-vm stop --name NAME`.
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
