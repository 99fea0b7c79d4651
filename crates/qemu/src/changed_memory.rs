//! The RAM of a restored VM, seen from outside: which pages it has changed since, and what is in them. The others are
//! those of the file that it maps privately, so that nobody has to read them out of the VM.
//!
//! It reads and never writes. Where the kernel does not let one process read another's memory (Yama's `ptrace_scope`),
//! there is none, and QEMU has to be asked for all of its RAM.

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::read_ahead::{is_touched, mapping, parts};

/// RAM of a QEMU that maps a file privately.
#[derive(Debug)]
pub(crate) struct ChangedMemory {
    memory: File,
    pagemap: PathBuf,
    /// Where the RAM is in QEMU's memory.
    place: Range<u64>,
    /// The mapped file, by a descriptor of QEMU's, since it may have no name any more.
    pub(crate) base: File,
}

impl ChangedMemory {
    /// That of the process `pid`, `size` bytes of RAM; nothing where it is not in a file, or may not be read.
    pub(crate) fn open(pid: u32, size: u64) -> Option<Self> {
        let proc = PathBuf::from(format!("/proc/{pid}"));
        let maps = fs::read_to_string(proc.join("maps")).ok()?;
        let (base, place) = fs::read_dir(proc.join("fd")).ok()?.find_map(|entry| {
            let path = entry.ok()?.path();
            let place = place(&path, size, &maps)?;
            Some((File::open(path).ok()?, place))
        })?;
        // Opening it is what needs the permission (proc(5)).
        let memory = File::open(proc.join("mem")).ok()?;
        Some(ChangedMemory { memory, pagemap: proc.join("pagemap"), place, base })
    }

    /// The parts of the RAM that differ from the file, with few pages that do not. The guest must stand still.
    ///
    /// # Errors
    /// Those of reading.
    pub(crate) fn changed(&self) -> io::Result<Vec<Range<u64>>> {
        parts(&self.pagemap, &self.place, is_private)
    }

    /// Reads RAM as the guest has it.
    ///
    /// # Errors
    /// Those of reading.
    pub(crate) fn read(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        self.memory.read_exact_at(into, self.place.start + offset)
    }
}

/// Where the file of that descriptor is mapped, if it is one of `size` bytes that is.
fn place(descriptor: &Path, size: u64, maps: &str) -> Option<Range<u64>> {
    let metadata = fs::metadata(descriptor).ok()?;
    let place = (metadata.is_file() && metadata.len() == size).then(|| mapping(maps, metadata.ino()))??;
    (place.end - place.start == size).then_some(place)
}

/// Whether a page of a private mapping is the process's own. Documentation/admin-guide/mm/pagemap.rst: bit 61 is set for
/// one of a file.
fn is_private(entry: u64) -> bool {
    is_touched(entry) && entry >> 61 & 1 == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_private_by_its_bits() {
        let bit = |number: u32| 1 << number;
        for (entry, expected) in [
            (0, false),
            (bit(63), true),
            (bit(62) | 5, true),
            (bit(63) | bit(61), false),
            (bit(62) | bit(61), false),
            (bit(55) | bit(61), false),
            (bit(63) | bit(56) | bit(55), true),
        ] {
            assert_eq!(is_private(entry), expected, "{entry:#x}");
        }
    }

    #[test]
    fn a_process_that_maps_no_file_of_that_size_has_none() {
        assert!(ChangedMemory::open(std::process::id(), 1 << 50).is_none());
        assert!(ChangedMemory::open(u32::MAX, 1 << 20).is_none());
    }
}
