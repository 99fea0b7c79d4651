//! Saves a running VM: its device state into one file, its RAM into another if it is not in one already.
//!
//! Both together can be restored ([`crate::Restore`]). It does not touch disks ([`crate::disk::freeze`]), and what is in
//! the guest's page cache is the caller's to sync first.

mod changed;

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use host::io_fault::at_path;
use model::{EventSink, Fault, FaultClass, Result};

use crate::qmp::Transfer;
use crate::steps::Steps;
use crate::stopped::StoppedGuest;
use crate::{Qmp, Version, ram_stream, read_ahead, wake_line};
use changed::{Changed, Rest};

/// The name of the guest's RAM in a migration stream.
const BLOCK: &str = "ram0";

/// Where the RAM is when it is saved, and where to it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ram<'a> {
    /// It stays in the file that the VM shares (`MemoryBackend::File` with `share`). This takes milliseconds, but the VM
    /// must end before that file is used otherwise.
    InItsFile,
    /// It is private to the VM, which writes it into this new file, and can go on. This takes a second or two for each
    /// GiB that the guest has touched.
    Into(&'a Path),
    /// The same for a VM of which there is an earlier state, that it was restored from or that was saved of it: only what
    /// it has changed since its RAM was mapped is read while it stands still, and what can wait for the disk is done by
    /// [`Saved::complete`]. Where that cannot be done it is [`Ram::Into`].
    Changed {
        /// The state; it may be missing.
        begun_from: &'a Path,
        /// The new file.
        into: &'a Path,
    },
}

impl<'a> Ram<'a> {
    /// The new file, as large as the RAM and with holes for zeros, which later VMs can map.
    fn new_file(self) -> Option<&'a Path> {
        match self {
            Ram::InItsFile => None,
            Ram::Into(into) | Ram::Changed { into, .. } => Some(into),
        }
    }
}

/// A VM to be saved, and where to.
#[derive(Debug, Clone, Copy)]
pub struct Save<'a> {
    /// Of the QEMU that runs it.
    pub version: Version,
    /// The RAM.
    pub ram: Ram<'a>,
    /// The new file for the state of the devices.
    pub state: &'a Path,
    /// How long QEMU may take to write.
    pub deadline: Duration,
}

/// What was written.
#[derive(Debug)]
#[must_use = "the RAM may not be whole until `complete`"]
pub struct Saved {
    /// Bytes of device state.
    pub state: u64,
    /// Bytes of RAM that were written; zero where it stays in its file.
    pub ram: u64,
    /// What of the RAM is still to be written.
    rest: Option<Rest>,
}

impl Saved {
    /// Makes the file of the RAM whole. The guest may go on meanwhile, and QEMU may end. Returns the bytes of RAM that were
    /// written.
    ///
    /// # Errors
    /// Host when the file cannot be written; what is there is of no use.
    pub fn complete(self) -> Result<u64> {
        self.rest.map_or(Ok(self.ram), Rest::copy)
    }
}

impl<'a> Save<'a> {
    /// Stops the guest and saves it; the files are 0600. After it the guest stands still: it goes on by [`Qmp::cont`] or
    /// its QEMU ends by [`Qmp::quit`]. After a fault it runs again if it ran before, and the files are gone.
    ///
    /// # Errors
    /// Failed with QEMU's reason or where the RAM is not as told, Host when the files cannot be written, Timeout,
    /// Guest when QEMU ended, Interrupted.
    pub fn run(&self, qmp: &mut Qmp, events: &dyn EventSink) -> Result<Saved> {
        let prepared = self.prepare(qmp, events)?;
        let mut guest = StoppedGuest::stop(qmp, events).map_err(not_saved)?;
        let saved = prepared.write(&mut guest)?;
        guest.leave();
        Ok(saved)
    }

    /// All of it that can be done while the guest runs, so that whoever stops the guest for something else, too, lets it
    /// stand still no longer than it must.
    ///
    /// # Errors
    /// As [`Save::run`].
    pub fn prepare<'e>(&self, qmp: &mut Qmp, events: &'e dyn EventSink) -> Result<Prepared<'a, 'e>> {
        let mut steps = Steps::begin("save", events);
        let mut prepare = || {
            // A VM whose disk is worked on cannot be saved.
            qmp.cancel_stream()?;
            // A saved state must fit a VM without it.
            wake_line::disarm(qmp)?;
            let size = self.size_of_ram(qmp)?;
            self.check_room(qmp)?;
            let state = NewFile::create(self.state)?;
            let ram = self.ram.new_file().map(NewFile::create).transpose()?;
            qmp.prepare_migration()?;
            let changed = match (self.ram, &ram) {
                (Ram::Changed { begun_from, .. }, Some(ram)) => Changed::prepare(begun_from, qmp, size, ram)?,
                _ => None,
            };
            Ok((size, state, ram, changed))
        };
        let (size, state, ram, changed) = prepare().map_err(not_saved)?;
        steps.done("prepared");
        Ok(Prepared { save: *self, size, state, ram, changed, steps, events })
    }

    /// Bytes of RAM; also checks that it is where the caller believes it to be.
    fn size_of_ram(&self, qmp: &mut Qmp) -> Result<u64> {
        let memory = qmp.memory(BLOCK)?;
        match (self.ram, memory.shared) {
            (Ram::InItsFile, true) | (Ram::Into(_) | Ram::Changed { .. }, false) => Ok(memory.size),
            (_, false) => Err(Fault::new(FaultClass::Failed, "the VM's RAM is in no file that it shares")),
            (_, true) => Err(Fault::new(FaultClass::Failed, "the VM's RAM is in a file that it shares")),
        }
    }

    /// How many bytes the RAM's file will take at most; of private RAM only an upper bound is known.
    ///
    /// # Errors
    /// As [`Qmp::execute`].
    pub fn ram_to_write(&self, qmp: &mut Qmp) -> Result<u64> {
        let size = qmp.memory(BLOCK)?.size;
        let data_of = |file: &Path| file.metadata().map_or(0, |metadata| host::files::on_disk(&metadata));
        Ok(match self.ram {
            Ram::InItsFile => 0,
            Ram::Into(_) | Ram::Changed { .. } => {
                let mapped = qmp.memory_file(BLOCK).map_or(0, |file| data_of(&file));
                resident(qmp.peer_pid()).saturating_add(mapped).min(size)
            }
        })
    }

    /// Whether there is room for the RAM's file.
    fn check_room(&self, qmp: &mut Qmp) -> Result<()> {
        let Some(file) = self.ram.new_file() else { return Ok(()) };
        room(file, self.ram_to_write(qmp)?)
    }
}

/// A save that waits for the guest to stand still. Dropped, it leaves nothing.
pub struct Prepared<'a, 'e> {
    save: Save<'a>,
    /// Bytes of RAM.
    size: u64,
    state: NewFile<'a>,
    ram: Option<NewFile<'a>>,
    changed: Option<Changed>,
    steps: Steps<'e>,
    events: &'e dyn EventSink,
}

impl Prepared<'_, '_> {
    /// Writes what has to be written while the guest is stopped. What takes long is cancelled at an interrupt.
    ///
    /// # Errors
    /// As [`Save::run`].
    pub fn write(mut self, guest: &mut StoppedGuest<'_>) -> Result<Saved> {
        self.steps.done("guest stopped");
        let saved = self.write_all(guest.qmp()).map_err(not_saved)?;
        self.state.keep();
        if let Some(ram) = self.ram {
            ram.keep();
        }
        Ok(saved)
    }

    fn write_all(&mut self, qmp: &mut Qmp) -> Result<Saved> {
        let Save { version, deadline, .. } = self.save;
        let Prepared { state, ram, steps, .. } = self;
        let size_of_state = |state: &NewFile<'_>| {
            let metadata = state.file.metadata();
            metadata.map(|metadata| metadata.len()).map_err(|error| at_path("look at", state.path, &error))
        };
        if let (Some(changed), Some(ram)) = (self.changed.take(), &ram) {
            match changed.devices(qmp, state) {
                Ok(()) => {
                    steps.done("devices written");
                    let rest = changed.ram(ram)?;
                    steps.done(&format!("{} bytes of changed RAM read", rest.written));
                    return Ok(Saved { state: size_of_state(state)?, ram: rest.written, rest: Some(rest) });
                }
                Err(fault) if qmp.is_closed() => return Err(fault),
                Err(fault) => self.events.debug(format!("all of the RAM is saved: {fault}")),
            }
            state.empty()?;
            ram.empty()?;
        }
        let mut ram_bytes = 0;
        if let (Ram::Into(_) | Ram::Changed { .. }, Some(ram)) = (self.save.ram, &ram) {
            ram_bytes = split(&self.save, qmp, self.size, state, ram)?;
            steps.done(&format!("devices and {ram_bytes} bytes of RAM written"));
        } else {
            qmp.migrate_to(state.file.as_fd(), Transfer::File, version, deadline)?;
            steps.done("devices written");
        }
        Ok(Saved { state: size_of_state(state)?, ram: ram_bytes, rest: None })
    }
}

/// Lets QEMU write all into a socket, and takes the RAM out of that.
fn split(save: &Save<'_>, qmp: &mut Qmp, size: u64, state: &NewFile<'_>, ram: &NewFile<'_>) -> Result<u64> {
    let failed = |error| at_path("write", ram.path, &error);
    ram.file.set_len(size).map_err(failed)?;
    if let Some(mapped) = qmp.memory_file(BLOCK) {
        // What the guest has never touched QEMU reads from there now, page by page.
        read_ahead::start_whole(mapped);
    }
    let (here, there) = UnixStream::pair().map_err(failed)?;
    // So much is on its way at once; with the usual 200 KiB both sides wait for each other.
    let _ = rustix::net::sockopt::set_socket_send_buffer_size(&there, 1 << 20);
    let (sent, split) = std::thread::scope(|scope| {
        let splitting = scope.spawn(|| {
            let bytes = ram_stream::split(&here, BLOCK, size, &ram.file, BufWriter::new(&state.file));
            // QEMU must not wait for a reader that has given up.
            let _ = here.shutdown(Shutdown::Both);
            bytes
        });
        let sent = qmp.migrate_to(there.as_fd(), Transfer::Socket, save.version, save.deadline);
        drop(there);
        if sent.is_err() {
            // A QEMU that hangs still holds its end.
            let _ = here.shutdown(Shutdown::Both);
        }
        let split = splitting.join();
        (sent, split.unwrap_or_else(|_| Err(io::Error::other("the thread that writes it ended"))))
    });
    match (sent, split) {
        (Ok(()), Ok(bytes)) => Ok(bytes),
        // A stream that just ends has its cause in QEMU; else what the reader met made QEMU fail.
        (Err(fault), Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Err(fault),
        (_, Err(error)) => Err(failed(error)),
        (Err(fault), Ok(_)) => Err(fault),
    }
}

fn not_saved(fault: Fault) -> Fault {
    fault.context("the VM was not saved")
}

/// Memory that a process has now, in bytes; as much as there can be where that is not told.
fn resident(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    // The second number counts pages (proc(5)).
    let pages = text.split_ascii_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.map_or(u64::MAX, |pages| pages.saturating_mul(ram_stream::PAGE as u64))
}

/// Whether `file` has room for so many bytes.
fn room(file: &Path, needed: u64) -> Result<()> {
    let free = host::files::free_space(file)?;
    if needed <= free {
        return Ok(());
    }
    let mebibytes = |bytes: u64| bytes.div_ceil(1024 * 1024);
    let folder = file.parent().unwrap_or(file);
    let what = format!("there is too little space for the VM's RAM in {}", folder.display());
    let quoted = host::command::quote(folder.as_os_str());
    Err(Fault::new(FaultClass::Host, what)
        .because(format!("{} MiB are free, it needs up to {} MiB", mebibytes(free), mebibytes(needed)))
        .next(format!("free some space, then run the command again; `df -h {quoted}` shows how much there is")))
}

/// A file that did not exist, and is gone again unless it is kept.
struct NewFile<'a> {
    path: &'a Path,
    file: File,
    keep: bool,
}

impl<'a> NewFile<'a> {
    fn create(path: &'a Path) -> Result<Self> {
        // Not readable: QEMU looks in a set of descriptors for one with the very flags with which it would open a file.
        let file = File::options().write(true).create_new(true).mode(0o600).open(path);
        let file = file.map_err(|error| at_path("create", path, &error))?;
        Ok(NewFile { path, file, keep: false })
    }

    /// Takes back what was written.
    fn empty(&self) -> Result<()> {
        let emptied = self.file.set_len(0).and_then(|()| (&self.file).seek(SeekFrom::Start(0)).map(drop));
        emptied.map_err(|error| at_path("write", self.path, &error))
    }

    fn keep(mut self) {
        self.keep = true;
    }
}

impl Drop for NewFile<'_> {
    fn drop(&mut self) {
        if !self.keep {
            let _ = std::fs::remove_file(self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_room_is_told_with_what_is_needed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ram");
        room(&file, 1).unwrap();
        let fault = room(&file, 1 << 62).unwrap_err();
        assert_eq!(fault.class(), FaultClass::Host);
        assert!(fault.to_string().ends_with(" MiB are free, it needs up to 4398046511104 MiB"), "{fault}");
    }

    #[test]
    fn a_process_has_memory_and_one_that_is_not_there_might_have_all() {
        assert!((1 << 20..1 << 40).contains(&resident(std::process::id())));
        assert_eq!(resident(u32::MAX), u64::MAX);
    }
}
