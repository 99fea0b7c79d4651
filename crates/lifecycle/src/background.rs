//! Processes of this program that run in the background, beside a VM or a command.
//!
//! A verb says what such a process is to do; the program that uses this crate says by which command line.

use std::io;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use model::instance::InstanceName;

/// What a background process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackgroundTask<'a> {
    /// Supervises the VM of the instance ([`crate::supervisor`]). Its working directory is the instance's `vm/`.
    Supervisor {
        /// The instance.
        instance: &'a InstanceName,
        /// Pause the guest after this long without a connection.
        auto_pause: Option<Duration>,
        /// The guest is paused, and standard input is the wake line ([`qemu::WakeLine::into_fd`]).
        paused: bool,
    },
    /// Destroys the instance when its standard input ends ([`crate::fork::reaper::reap`]).
    Reaper {
        /// The instance.
        instance: &'a InstanceName,
    },
    /// Fills the warm pool of the project ([`crate::fork::fill::run`]).
    FillWarmPool,
}

/// Makes the command that does a task for the project in a directory. The caller sets the working directory and the
/// standard streams.
///
/// # Errors
/// The error of finding this program.
pub type BackgroundCommand = fn(project: &Path, task: BackgroundTask<'_>) -> io::Result<Command>;
