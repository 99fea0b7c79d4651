//! What an instance is right now: found by its record or its command line, proven by the process itself.

use std::ffi::OsStr;
use std::path::Path;

use host::identity::{ProcessHandle, ProcessIdentity};
use host::process_table::{ProcessInfo, processes};
use model::Result;
use model::paths::InstancePaths;

use crate::context::Context;
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
    /// Its QEMU runs, as the command line says, but the record does not lead to it.
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
    let paths = context.paths();
    if let Some(record) = Record::read(&paths.record())?
        && let Some(process) = ProcessHandle::open(&record.process, &record.uuid)?
    {
        return Ok(Observed::Running(Box::new(Running { record, process })));
    }
    if let Some(process) = find_by_command_line(&paths)? {
        return Ok(Observed::Orphan(process));
    }
    Ok(if paths.disk().exists() { Observed::Stopped } else { Observed::Absent })
}

/// The QEMU whose command line names this instance's pid file.
fn find_by_command_line(paths: &InstancePaths) -> Result<Option<ProcessHandle>> {
    let pid_file = paths.pid();
    for process in processes()?.iter().filter(|process| is_qemu_of(process, &pid_file)) {
        if let Some(identity) = ProcessIdentity::of(process.pid)?
            && let Some(handle) = ProcessHandle::open(&identity, &pid_file.to_string_lossy())?
        {
            return Ok(Some(handle));
        }
    }
    Ok(None)
}

/// Whether a command line is that of a QEMU with `pid_file`.
fn is_qemu_of(process: &ProcessInfo, pid_file: &Path) -> bool {
    let program = process.arguments.first().map(Path::new).and_then(Path::file_name);
    program.is_some_and(|name| name.to_string_lossy().contains("qemu"))
        && process.arguments.windows(2).any(|pair| pair[0] == "-pidfile" && pair[1] == OsStr::new(pid_file))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(arguments: &[&str]) -> ProcessInfo {
        ProcessInfo { pid: 1, user: "me".to_owned(), is_own: true, arguments: arguments.iter().map(Into::into).collect() }
    }

    #[test]
    fn only_a_qemu_with_this_pid_file_is_ours() {
        let ours = Path::new("/p/.k3s-vm/vm.pid");
        for (arguments, expected) in [
            (&["/usr/bin/qemu-system-x86_64", "-name", "k3s-vm", "-pidfile", "/p/.k3s-vm/vm.pid"][..], true),
            (&["/usr/bin/qemu-system-x86_64", "-name", "k3s-vm", "-pidfile", "/q/.k3s-vm/vm.pid"][..], false),
            (&["vi", "-pidfile", "/p/.k3s-vm/vm.pid"][..], false),
            (&["/usr/bin/qemu-system-x86_64", "/p/.k3s-vm/vm.pid"][..], false),
            (&[][..], false),
        ] {
            assert_eq!(is_qemu_of(&process(arguments), ours), expected, "{arguments:?}");
        }
    }
}
