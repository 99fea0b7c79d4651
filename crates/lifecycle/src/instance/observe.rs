//! The state of an instance right now: its QEMU is found by the state file or the command line, and proven by the process
//! itself.

use host::identity::{ProcessHandle, ProcessIdentity};
use host::process_table::{WorkingDirectory, processes, working_directory};
use model::paths::InstancePaths;
use model::{Error, ErrorClass, Result};

use crate::context::Context;
use crate::instance::ownership::{Asker, Owner, is_vm, owner};
use crate::instance::state_file::StateFile;

/// What was observed of an instance.
#[derive(Debug)]
pub enum Observed {
    /// It was never started, or it was destroyed.
    Absent,
    /// Its disk exists, no process runs.
    Stopped,
    /// Its QEMU runs, and the state file leads to it.
    Running(Box<Running>),
    /// Its QEMU runs, as its command line and working directory prove, but the state file does not lead to it.
    Orphan(ProcessHandle),
}

/// A running instance.
#[derive(Debug)]
pub struct Running {
    /// How it was started.
    pub state_file: StateFile,
    /// The process.
    pub process: ProcessHandle,
}

/// Observes the instance of `context`.
///
/// # Errors
/// Errors of reading the state file and the process table.
pub fn observe(context: &Context<'_>) -> Result<Observed> {
    observe_instance(Asker::of(context))
}

/// As [`observe`], without a configuration.
///
/// # Errors
/// As [`observe`].
pub(crate) fn observe_instance(asker: Asker<'_>) -> Result<Observed> {
    let paths = asker.paths();
    let state_file = StateFile::read(&paths.state_file())?;
    if let Some(state_file) = &state_file
        && let Some(identity) = &state_file.process
        && let Some(process) = ProcessHandle::open(identity, &state_file.uuid)?
        && is_in_our_directory(&paths, &process)
    {
        return Ok(Observed::Running(Box::new(Running { state_file: state_file.clone(), process })));
    }
    let Some(process) = find(asker)? else {
        return Ok(if paths.disk().exists() { Observed::Stopped } else { Observed::Absent });
    };
    // A start that was killed before it wrote down the process has left the rest of the state file.
    if let Some(mut state_file) = state_file
        && let Some(identity) = ProcessIdentity::of(process.pid())?
        && let Some(process) = ProcessHandle::open(&identity, &state_file.uuid)?
    {
        state_file.process = Some(identity);
        return Ok(Observed::Running(Box::new(Running { state_file, process })));
    }
    Ok(Observed::Orphan(process))
}

/// A copy of a project has the state file, too, but QEMU works in the directory of the original. Where the working directory
/// cannot be seen, the uuid has to suffice.
fn is_in_our_directory(paths: &InstancePaths, process: &ProcessHandle) -> bool {
    match working_directory(process.pid()) {
        WorkingDirectory::Unseen => true,
        directory => directory.is(&paths.vm_dir()),
    }
}

/// Finds a QEMU of this instance, proven by its command line and working directory.
fn find(asker: Asker<'_>) -> Result<Option<ProcessHandle>> {
    for process in processes()?.iter().filter(|process| is_vm(process)) {
        let proven = ProcessHandle::prove(process.pid, |process, directory| {
            owner(asker, process, directory) == Owner::Instance
        })?;
        if proven.is_some() {
            return Ok(proven);
        }
    }
    Ok(None)
}

/// How the last run of an instance that does not run ended, unless `stop` ended it.
///
/// # Errors
/// Errors of reading the state file.
pub fn unexpected_end(context: &Context<'_>) -> Result<Option<String>> {
    let paths = context.paths();
    let Some(state_file) = StateFile::read(&paths.state_file())? else { return Ok(None) };
    let Some(identity) = state_file.process else {
        return Ok(Some("the last start was killed before QEMU ran".to_owned()));
    };
    let pid = identity.pid;
    Ok(Some(if !identity.is_of_this_boot()? {
        "the host was restarted while it ran".to_owned()
    } else if paths.pid().exists() {
        // QEMU removes its pid file whenever it ends by itself.
        format!("QEMU (pid {pid}) was killed, or crashed")
    } else {
        format!("QEMU (pid {pid}) ended: the guest powered off, reset before it was Ready, or gave up")
    }))
}

/// The error of a verb that needs a running instance.
pub(crate) fn not_running(context: &Context<'_>) -> Error {
    let error = Error::new(ErrorClass::State, format!("{} is not running", context.name));
    // Where that cannot be read, the error is complete without it.
    let error = match unexpected_end(context) {
        Ok(Some(end)) => error.because(end),
        Ok(None) | Err(_) => error,
    };
    error.next(context.command("start"))
}
