//! What an instance is right now: found by its record or its command line, proven by the process itself.

use host::identity::{ProcessHandle, ProcessIdentity};
use host::process_table::{WorkingFolder, processes, working_folder};
use model::paths::InstancePaths;
use model::{Fault, FaultClass, Result};

use crate::context::Context;
use crate::ownership::{Asker, Owner, is_vm, owner};
use crate::record::Record;

/// The state of an instance.
#[derive(Debug)]
pub enum Observed {
    /// It was never started, or it was destroyed.
    Absent,
    /// Its disk is there, no process runs.
    Stopped,
    /// Its QEMU runs and is the one of the record.
    Running(Box<Running>),
    /// Its QEMU runs, as command line and working folder say, but the record does not lead to it.
    Orphan(ProcessHandle),
}

/// A running instance.
#[derive(Debug)]
pub struct Running {
    /// What was started.
    pub record: Record,
    /// The process.
    pub process: ProcessHandle,
}

/// Looks.
///
/// # Errors
/// Faults of reading the record and the process table.
pub fn observe(context: &Context<'_>) -> Result<Observed> {
    observe_instance(context.asker())
}

/// As [`observe`], for whoever has no configuration.
///
/// # Errors
/// As [`observe`].
pub(crate) fn observe_instance(asker: Asker<'_>) -> Result<Observed> {
    let paths = asker.paths();
    let record = Record::read(&paths.record())?;
    if let Some(record) = &record
        && let Some(identity) = &record.process
        && let Some(process) = ProcessHandle::open(identity, &record.uuid)?
        && is_in_our_folder(&paths, &process)
    {
        return Ok(Observed::Running(Box::new(Running { record: record.clone(), process })));
    }
    let Some(process) = find(asker)? else {
        return Ok(if paths.disk().exists() { Observed::Stopped } else { Observed::Absent });
    };
    // A start that was killed before it could write down the process has left the rest of the record.
    if let Some(mut record) = record
        && let Some(identity) = ProcessIdentity::of(process.pid())?
        && let Some(process) = ProcessHandle::open(&identity, &record.uuid)?
    {
        record.process = Some(identity);
        return Ok(Observed::Running(Box::new(Running { record, process })));
    }
    Ok(Observed::Orphan(process))
}

/// A copy of a project has the record, too, but QEMU works in the folder of the original. Where the folder cannot be
/// seen, the uuid alone must do.
fn is_in_our_folder(paths: &InstancePaths, process: &ProcessHandle) -> bool {
    match working_folder(process.pid()) {
        WorkingFolder::Unseen => true,
        folder => folder.is(&paths.vm_dir()),
    }
}

/// A QEMU of this instance, proven by its command line and the folder in which it works.
fn find(asker: Asker<'_>) -> Result<Option<ProcessHandle>> {
    for process in processes()?.iter().filter(|process| is_vm(process)) {
        let proven =
            ProcessHandle::prove(process.pid, |process, folder| owner(asker, process, folder) == Owner::Instance)?;
        if proven.is_some() {
            return Ok(proven);
        }
    }
    Ok(None)
}

/// How the last run of an instance that does not run has ended, unless `stop` ended it.
///
/// # Errors
/// Faults of reading the record.
pub fn unexpected_end(context: &Context<'_>) -> Result<Option<String>> {
    let paths = context.paths();
    let Some(record) = Record::read(&paths.record())? else { return Ok(None) };
    let Some(identity) = record.process else {
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

/// The fault of a verb that needs a running instance.
pub(crate) fn not_running(context: &Context<'_>) -> Fault {
    let fault = Fault::new(FaultClass::State, format!("{} is not running", context.name));
    // What cannot be read is no news here.
    let fault = match unexpected_end(context) {
        Ok(Some(end)) => fault.because(end),
        Ok(None) | Err(_) => fault,
    };
    fault.next(context.command("start"))
}
