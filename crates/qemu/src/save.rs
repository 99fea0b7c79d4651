//! Saves a running VM: its device state to one file, its RAM to another. [`crate::Restore`] restores both.
//!
//! It does not change disks ([`crate::disk::add_overlay`] does), and the caller syncs the guest's page cache first.

mod changed;
mod new_file;

use std::io::{self, BufWriter};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use host::io_error::at_path;
use model::{Error, ErrorClass, EventSink, Result};

use crate::argv::RAM;
use crate::steps::Steps;
use crate::stopped::StoppedGuest;
use crate::{Qmp, ram_stream, read_ahead, wake_line};
use changed::{Changed, Rest};
use new_file::NewFile;

/// The files of a save. While the guest is paused, only the RAM that it has changed since its RAM was mapped is read;
/// [`Saved::complete`] does what can be done later. Where that is not possible, QEMU writes all of the RAM, which takes a
/// second or two for each GiB that the guest has touched.
#[derive(Debug, Clone, Copy)]
pub struct Save<'a> {
    /// The device state of an earlier save of this VM, or the one that it was restored from. It may be missing.
    pub begun_from: &'a Path,
    /// The new file for the RAM, which later VMs can map: of the RAM's size, with holes for zeros.
    pub ram: &'a Path,
    /// The new file for the device state.
    pub state: &'a Path,
    /// How long QEMU may take to write.
    pub deadline: Duration,
}

/// A save, written but for what [`Saved::complete`] does.
#[derive(Debug)]
#[must_use = "the RAM may be incomplete until `complete`"]
pub struct Saved {
    /// Bytes of device state.
    pub state: u64,
    /// Bytes of RAM that were written.
    pub ram: u64,
    /// The part of the RAM that is still to be written.
    rest: Option<Rest>,
}

impl Saved {
    /// Completes the RAM file. The guest may run on meanwhile, or QEMU may end. Returns the bytes of RAM that were written.
    ///
    /// # Errors
    /// Host when the file cannot be written; the save is useless then.
    pub fn complete(self) -> Result<u64> {
        self.rest.map_or(Ok(self.ram), Rest::copy)
    }
}

impl<'a> Save<'a> {
    /// Does everything that is possible while the guest runs, so that it is paused as briefly as possible. The new files have
    /// mode 0600.
    ///
    /// # Errors
    /// Failed with QEMU's reason, Host when the files cannot be written, Timeout, Guest when QEMU ended, Interrupted.
    pub fn prepare<'e>(&self, qmp: &mut Qmp, events: &'e dyn EventSink) -> Result<Prepared<'a, 'e>> {
        let mut steps = Steps::begin("save", events);
        let mut prepare = || {
            // QEMU does not save a VM that has a job on its disk.
            qmp.cancel_stream()?;
            // A saved state must fit a VM without a wake line.
            wake_line::disarm(qmp)?;
            let size = qmp.memory(RAM)?;
            room(self.ram, self.ram_to_write(qmp)?)?;
            let (state, ram) = (NewFile::create(self.state)?, NewFile::create(self.ram)?);
            qmp.prepare_migration()?;
            let changed = Changed::prepare(self.begun_from, qmp, size, &ram)?;
            Ok((size, state, ram, changed))
        };
        let (size, state, ram, changed) = prepare().map_err(not_saved)?;
        steps.done("prepared");
        Ok(Prepared { save: *self, size, state, ram, changed, steps, events })
    }

    /// The most bytes that the RAM file will take.
    ///
    /// # Errors
    /// As [`Qmp::execute`].
    pub fn ram_to_write(&self, qmp: &mut Qmp) -> Result<u64> {
        let size = qmp.memory(RAM)?;
        let data_of = |file: &Path| file.metadata().map_or(0, |metadata| host::files::on_disk(&metadata));
        let mapped = qmp.memory_file(RAM).map_or(0, |file| data_of(&file));
        Ok(resident(qmp.peer_pid()).saturating_add(mapped).min(size))
    }
}

/// A save that is ready for the guest to be paused. When it is dropped, its files are removed.
pub struct Prepared<'a, 'e> {
    save: Save<'a>,
    /// The size of the RAM in bytes.
    size: u64,
    state: NewFile<'a>,
    ram: NewFile<'a>,
    changed: Option<Changed>,
    steps: Steps<'e>,
    events: &'e dyn EventSink,
}

impl Prepared<'_, '_> {
    /// Writes what must be written while the guest is paused. An interrupt cancels QEMU's transfer of the RAM.
    ///
    /// # Errors
    /// As [`Save::prepare`]; the files are removed then.
    pub fn write(mut self, guest: &mut StoppedGuest<'_>) -> Result<Saved> {
        self.steps.done("guest stopped");
        let saved = self.write_all(guest.qmp()).map_err(not_saved)?;
        self.state.keep();
        self.ram.keep();
        Ok(saved)
    }

    fn write_all(&mut self, qmp: &mut Qmp) -> Result<Saved> {
        let Prepared { state, ram, steps, .. } = self;
        let size_of_state = |state: &NewFile<'_>| {
            let metadata = state.file.metadata();
            metadata.map(|metadata| metadata.len()).map_err(|error| at_path("look at", state.path, &error))
        };
        if let Some(changed) = self.changed.take() {
            match changed.devices(qmp, state) {
                Ok(()) => {
                    steps.done("devices written");
                    let rest = changed.ram(ram)?;
                    steps.done(&format!("{} bytes of changed RAM read", rest.written));
                    return Ok(Saved { state: size_of_state(state)?, ram: rest.written, rest: Some(rest) });
                }
                Err(error) if qmp.is_closed() => return Err(error),
                Err(error) => self.events.debug(format!("all of the RAM is saved: {error}")),
            }
            state.empty()?;
            ram.empty()?;
        }
        let ram_bytes = split(&self.save, qmp, self.size, state, ram)?;
        steps.done(&format!("devices and {ram_bytes} bytes of RAM written"));
        Ok(Saved { state: size_of_state(state)?, ram: ram_bytes, rest: None })
    }
}

/// Has QEMU write everything to a socket, and separates the RAM from it.
fn split(save: &Save<'_>, qmp: &mut Qmp, size: u64, state: &NewFile<'_>, ram: &NewFile<'_>) -> Result<u64> {
    let failed = |error| at_path("write", ram.path, &error);
    ram.file.set_len(size).map_err(failed)?;
    if let Some(mapped) = qmp.memory_file(RAM) {
        // QEMU reads from there, page by page, what the guest has never touched.
        read_ahead::start_whole(mapped);
    }
    let (here, there) = UnixStream::pair().map_err(failed)?;
    // With the usual 200 KiB both sides wait for each other.
    let _ = rustix::net::sockopt::set_socket_send_buffer_size(&there, 1 << 20);
    let (sent, split) = std::thread::scope(|scope| {
        let splitting = scope.spawn(|| {
            let bytes = ram_stream::split(&here, RAM, size, &ram.file, BufWriter::new(&state.file));
            // QEMU must not wait where the reader has failed.
            let _ = here.shutdown(Shutdown::Both);
            bytes
        });
        let sent = qmp.migrate_to(there.as_fd(), save.deadline);
        drop(there);
        if sent.is_err() {
            // A QEMU that hangs still has its end open.
            let _ = here.shutdown(Shutdown::Both);
        }
        let split = splitting.join();
        (sent, split.unwrap_or_else(|_| Err(io::Error::other("the thread that writes it ended"))))
    });
    match (sent, split) {
        (Ok(()), Ok(bytes)) => Ok(bytes),
        // Where the stream just ends, the cause is in QEMU; otherwise the reader's error made QEMU fail.
        (Err(error), Err(read)) if read.kind() == io::ErrorKind::UnexpectedEof => Err(error),
        (_, Err(error)) => Err(failed(error)),
        (Err(error), Ok(_)) => Err(error),
    }
}

fn not_saved(error: Error) -> Error {
    error.context("the VM was not saved")
}

/// The resident memory of a process in bytes; the maximum where it cannot be read.
fn resident(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    // The second number counts pages (proc(5)).
    let pages = text.split_ascii_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.map_or(u64::MAX, |pages| pages.saturating_mul(ram_stream::PAGE as u64))
}

/// Checks that there is space for `file` of `needed` bytes.
fn room(file: &Path, needed: u64) -> Result<()> {
    let free = host::files::free_space(file)?;
    if needed <= free {
        return Ok(());
    }
    let mebibytes = |bytes: u64| bytes.div_ceil(1024 * 1024);
    let directory = file.parent().unwrap_or(file);
    let what = format!("there is too little space for the VM's RAM in {}", directory.display());
    let quoted = host::command::quote(directory.as_os_str());
    Err(Error::new(ErrorClass::Host, what)
        .because(format!("{} MiB are free, it needs up to {} MiB", mebibytes(free), mebibytes(needed)))
        .next(format!("free some space, then run the command again; `df -h {quoted}` shows how much there is")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_space_is_reported_with_what_is_needed() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ram");
        room(&file, 1).unwrap();
        let error = room(&file, 1 << 62).unwrap_err();
        assert_eq!(error.class(), ErrorClass::Host);
        assert!(error.to_string().ends_with(" MiB are free, it needs up to 4398046511104 MiB"), "{error}");
    }

    #[test]
    fn a_process_that_cannot_be_read_may_have_any_amount_of_memory() {
        assert!((1 << 20..1 << 40).contains(&resident(std::process::id())));
        assert_eq!(resident(u32::MAX), u64::MAX);
    }
}
