//! The reaper: the process that destroys a fork when its owner is gone, however the owner ended.

use std::fs::File;
use std::io::Read;
use std::process::{Child, ChildStdin, Stdio};

use model::instance::InstanceName;
use model::paths::ProjectPaths;
use model::{Error, ErrorClass, EventSink, Result};

use crate::background::BackgroundTask;
use crate::context::Context;
use crate::instance::registry;
use crate::saved_vm::backing_files::BackingFiles;

/// A running reaper, as its owner sees it. When it is dropped, or when this process ends, the reaper acts.
pub(super) struct Reaper {
    child: Child,
    /// The reaper acts when this is closed, whatever closes it.
    pipe: Option<ChildStdin>,
}

impl Reaper {
    /// Starts the reaper of the context's instance. It shares the lock of `owner`, which lives until both have closed
    /// it.
    ///
    /// # Errors
    /// A Failed error when the process cannot be started.
    pub(super) fn start(context: &Context<'_>, owner: &File) -> Result<Self> {
        let failed = |error: std::io::Error| {
            Error::new(ErrorClass::Failed, "cannot start the reaper of the fork").because(error)
        };
        let owner = owner.try_clone().map_err(failed)?;
        let mut command = context.background(BackgroundTask::Reaper { instance: &context.name }).map_err(failed)?;
        command.stdin(Stdio::piped()).stdout(owner).stderr(Stdio::null());
        let mut child = command.spawn().map_err(failed)?;
        let pipe = child.stdin.take();
        Ok(Reaper { child, pipe })
    }

    /// Lets the reaper destroy the fork, and waits for it.
    ///
    /// # Errors
    /// A Failed error when it could not.
    pub(super) fn end(mut self) -> Result<()> {
        drop(self.pipe.take());
        match self.child.wait() {
            Ok(status) if status.success() => Ok(()),
            other => {
                let why = other.map_or_else(|error| error.to_string(), |status| status.to_string());
                Err(Error::new(ErrorClass::Failed, "the fork was not destroyed").because(why).next("k3s-vm list"))
            }
        }
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        drop(self.pipe.take());
        // The reaper does its work whether or not it is waited for.
        let _ = self.child.wait();
    }
}

/// The work of the reaper process: waits until `pipe` ends, then destroys the instance.
///
/// # Errors
/// As `delete`.
pub fn reap(project: &ProjectPaths, name: &InstanceName, mut pipe: impl Read, events: &dyn EventSink) -> Result<()> {
    let mut rest = Vec::new();
    // A read error is an end, too.
    let _ = pipe.read_to_end(&mut rest);
    registry::delete(project, name, events)?;
    BackingFiles::of(project).lock(events)?.collect(events).map(drop)
}
