//! The RAM of a VM, seen from outside: which pages it has changed since it was mapped, and what is in them. The others are
//! those of the file that a restored VM maps privately, or were never touched, so that nobody has to read them out of the VM.
//!
//! It reads and never writes. Where the kernel does not let one process read another's memory (Yama's `ptrace_scope`),
//! there is none, and QEMU has to be asked for all of its RAM.

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::Qmp;
use crate::read_ahead::{is_touched, mapping, parts};

/// RAM of a QEMU that is in no file that others could see.
#[derive(Debug)]
pub(crate) struct ChangedMemory {
    memory: File,
    pagemap: PathBuf,
    /// Where the RAM is in QEMU's memory.
    place: Range<u64>,
    /// The mapped file, by a descriptor of QEMU's, since it may have no name any more; none where the RAM began as zeros.
    pub(crate) base: Option<File>,
}

impl ChangedMemory {
    /// That of the VM behind `qmp`, `size` bytes of the RAM `block`; nothing where it is not found, or may not be read.
    pub(crate) fn open(qmp: &mut Qmp, block: &str, size: u64) -> Option<Self> {
        let proc = PathBuf::from(format!("/proc/{}", qmp.peer_pid()));
        let maps = fs::read_to_string(proc.join("maps")).ok()?;
        let of_file = fs::read_dir(proc.join("fd")).ok()?.find_map(|entry| {
            let path = entry.ok()?.path();
            let place = place(&path, size, &maps)?;
            Some((Some(File::open(path).ok()?), place))
        });
        let (base, place) = match of_file {
            Some(of_file) => of_file,
            None => {
                let begin = qmp.host_address(block)?;
                (None, anonymous(&maps, begin..begin.checked_add(size)?)?)
            }
        };
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

/// This range, where all of it is memory of the process alone that began as zeros (`/proc/PID/maps`, proc(5)).
fn anonymous(maps: &str, place: Range<u64>) -> Option<Range<u64>> {
    let has_it = maps.lines().any(|line| {
        let mut words = line.split_ascii_whitespace();
        let mut of_line = || -> Option<(Range<u64>, &str, &str)> {
            let (start, end) = words.next()?.split_once('-')?;
            let hexadecimal = |text| u64::from_str_radix(text, 16).ok();
            Some((hexadecimal(start)?..hexadecimal(end)?, words.next()?, words.nth(2)?))
        };
        of_line().is_some_and(|(mapped, permissions, inode)| {
            (permissions, inode) == ("rw-p", "0") && mapped.start <= place.start && place.end <= mapped.end
        })
    });
    has_it.then_some(place)
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
    fn memory_without_a_file_is_all_in_one_private_mapping() {
        let maps = "7f0000000000-7f0000001000 rw-s 00000000 00:01 17 /memfd:x (deleted)\n\
                    7f0000001000-7f0000009000 rw-p 00000000 00:00 0 \n\
                    7f0000009000-7f000000b000 ---p 00000000 00:00 0 \n";
        let at = |begin: u64, end: u64| anonymous(maps, 0x7f00_0000_0000 + begin..0x7f00_0000_0000 + end);
        assert!(at(0x1000, 0x9000).is_some() && at(0x2000, 0x3000).is_some());
        for (begin, end) in [(0, 0x1000), (0x1000, 0xa000), (0x9000, 0xb000), (0, 0x9000), (0x10000, 0x11000)] {
            assert_eq!(at(begin, end), None, "{begin:#x}");
        }
    }

    #[test]
    fn a_process_that_maps_no_file_of_that_size_has_none() {
        let (maps, program) = (fs::read_to_string("/proc/self/maps").unwrap(), std::env::current_exe().unwrap());
        assert_eq!(place(&program, 1 << 50, &maps), None);
        assert_eq!(place(Path::new("/nowhere"), 1 << 20, &maps), None);
    }
}
