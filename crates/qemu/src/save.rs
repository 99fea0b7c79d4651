//! Saves a running VM: its device state into one file, its RAM into another if it is not in one already.
//!
//! Both together can be restored ([`crate::Restore`]). It does not touch disks ([`crate::disk::freeze`]), and what is in
//! the guest's page cache is the caller's to sync first.

use std::fs::File;
use std::io::BufWriter;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;

use host::io_fault::at_path;
use model::{EventSink, Fault, FaultClass, Result};

use crate::qmp::{RunState, Transfer};
use crate::steps::Steps;
use crate::{Qmp, Version, ram_stream};

/// The name of the guest's RAM in a migration stream.
const BLOCK: &str = "ram0";

/// Where the RAM is when it is saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ram<'a> {
    /// It stays in the file that the VM shares (`MemoryBackend::File` with `share`), which must not be used otherwise
    /// before the VM has ended. This takes milliseconds.
    InItsFile,
    /// It is private to the VM, and is written into this new file, as large as the RAM and with holes for zeros, which
    /// later VMs can map. This takes a second for each GiB that the guest has touched.
    Into(&'a Path),
}

/// A VM to be saved, and where to.
#[derive(Debug, Clone, Copy)]
pub struct Save<'a> {
    /// Of the QEMU that runs it.
    pub version: Version,
    /// The RAM.
    pub ram: Ram<'a>,
    /// The new file for the state of the devices; 0600.
    pub state: &'a Path,
    /// How long QEMU may take to write.
    pub deadline: Duration,
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Saved {
    /// Bytes of device state.
    pub state: u64,
    /// Bytes of RAM that were written; zero where it stays in its file.
    pub ram: u64,
}

impl Save<'_> {
    /// Stops the guest and saves it. After it the guest stands still: it goes on by [`Qmp::cont`] or its QEMU ends by
    /// [`Qmp::quit`]. After a fault it runs again if it ran before, and the files are gone.
    ///
    /// # Errors
    /// Failed with QEMU's reason or where the RAM is not as told, Host when the files cannot be written, Timeout,
    /// Guest when QEMU ended, Interrupted.
    pub fn run(&self, qmp: &mut Qmp, events: &dyn EventSink) -> Result<Saved> {
        let mut steps = Steps::begin("save", events);
        let ran = qmp.status()? == RunState::Running;
        let size = self.size_of_ram(qmp)?;
        qmp.prepare_migration()?;
        steps.done("prepared");
        let saved = qmp.stop().and_then(|()| {
            steps.done("guest stopped");
            self.write(qmp, size)
        });
        match &saved {
            Ok(saved) => steps.done(&format!("{} bytes of devices, {} of RAM written", saved.state, saved.ram)),
            Err(fault) => {
                steps.done(&format!("not saved: {fault}"));
                self.take_back(qmp, ran, events);
            }
        }
        saved.map_err(|fault| fault.context("the VM was not saved"))
    }

    /// Bytes of RAM; also checks that it is where the caller believes it to be.
    fn size_of_ram(&self, qmp: &mut Qmp) -> Result<u64> {
        let memory = qmp.memory(BLOCK)?;
        match (self.ram, memory.shared) {
            (Ram::InItsFile, true) | (Ram::Into(_), false) => Ok(memory.size),
            (Ram::InItsFile, false) => Err(Fault::new(FaultClass::Failed, "the VM's RAM is in no file that it shares")),
            (Ram::Into(_), true) => Err(Fault::new(FaultClass::Failed, "the VM's RAM is in a file that it shares")),
        }
    }

    fn write(&self, qmp: &mut Qmp, size: u64) -> Result<Saved> {
        let state = create(self.state)?;
        let ram = match self.ram {
            Ram::InItsFile => {
                qmp.migrate_to(state.as_fd(), Transfer::File, self.version, self.deadline)?;
                0
            }
            Ram::Into(path) => self.write_ram(qmp, size, path, &state)?,
        };
        let state = state.metadata().map_err(|error| at_path("look at", self.state, &error))?.len();
        Ok(Saved { state, ram })
    }

    fn write_ram(&self, qmp: &mut Qmp, size: u64, path: &Path, state: &File) -> Result<u64> {
        let failed = |error| at_path("write", path, &error);
        let ram = create(path)?;
        ram.set_len(size).map_err(failed)?;
        let state = state.try_clone().map_err(failed)?;
        let (here, there) = UnixStream::pair().map_err(failed)?;
        // So much is on its way at once; the default of some 200 KiB makes both sides wait for each other.
        let _ = rustix::net::sockopt::set_socket_send_buffer_size(&there, 1 << 20);
        let stream = here.try_clone().map_err(failed)?;
        let splitting = std::thread::spawn(move || {
            let ram_bytes = ram_stream::split(&stream, BLOCK, size, &ram, BufWriter::new(state));
            // QEMU must not wait for a reader that has given up.
            let _ = stream.shutdown(Shutdown::Both);
            ram_bytes
        });
        let sent = qmp.migrate_to(there.as_fd(), Transfer::Socket, self.version, self.deadline);
        drop(there);
        if sent.is_err() {
            // A QEMU that hangs still holds its end.
            let _ = here.shutdown(Shutdown::Both);
        }
        match (sent, joined(splitting)) {
            (Ok(()), Ok(bytes)) => Ok(bytes),
            // What the reader met is the cause of what QEMU met, unless the stream just ended.
            (Err(fault), Err(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => Err(fault),
            (_, Err(error)) => Err(failed(error)),
            (Err(fault), Ok(_)) => Err(fault),
        }
    }

    fn take_back(&self, qmp: &mut Qmp, ran: bool, events: &dyn EventSink) {
        let mut files = vec![self.state];
        if let Ram::Into(path) = self.ram {
            files.push(path);
        }
        for file in files {
            if let Err(fault) = host::files::remove(file) {
                events.debug(fault.to_string());
            }
        }
        if ran && !qmp.is_closed() {
            // Also when it was the user who ended the work: a guest must not stand still because of it.
            qmp.ignore_interrupts();
            if let Err(fault) = qmp.cont() {
                events.warning(format!("the VM was stopped to be saved and does not go on: {fault}"));
            }
        }
    }
}

fn joined(thread: JoinHandle<std::io::Result<u64>>) -> std::io::Result<u64> {
    thread.join().unwrap_or_else(|_| Err(std::io::Error::other("the thread that writes it ended")))
}

fn create(path: &Path) -> Result<File> {
    let file = File::options().write(true).create_new(true).mode(0o600).open(path);
    file.map_err(|error| at_path("create", path, &error))
}
