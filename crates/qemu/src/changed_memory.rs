//! The RAM of a running VM, read from outside: which pages the VM has changed since its RAM was mapped, and their content.
//! The other pages are in the file that a restored VM maps privately, or are zeros, so a save does not have to read them.
//!
//! It only reads. Where the kernel does not let a process read another one's memory (Yama's `ptrace_scope`), a save asks
//! QEMU for all of the RAM.

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::Qmp;
use crate::read_ahead::{is_touched, mapping, parts};

/// RAM of a QEMU that others cannot see in a file.
#[derive(Debug)]
pub(crate) struct ChangedMemory {
    memory: File,
    pagemap: PathBuf,
    /// The address range of the RAM in QEMU's memory.
    place: Range<u64>,
    /// The mapped file, opened through QEMU's descriptor because it may have no name any more. `None` where the RAM began
    /// as zeros.
    pub(crate) base: Option<File>,
}

impl ChangedMemory {
    /// Opens the RAM `block` of `size` bytes of the VM behind `qmp`; `None` where it is not found or may not be read.
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
        // The kernel checks the permission here (proc(5)).
        let memory = File::open(proc.join("mem")).ok()?;
        Some(ChangedMemory { memory, pagemap: proc.join("pagemap"), place, base })
    }

    /// The parts of the RAM that differ from the file, and small gaps between them. The guest must be paused.
    ///
    /// # Errors
    /// Those of reading.
    pub(crate) fn changed(&self) -> io::Result<Vec<Range<u64>>> {
        parts(&self.pagemap, &self.place, is_private)
    }

    /// Reads the guest's RAM at `offset`.
    ///
    /// # Errors
    /// Those of reading.
    pub(crate) fn read(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        self.memory.read_exact_at(into, self.place.start + offset)
    }
}

/// The address range at which the descriptor's file is mapped; `None` where it has another size or is not mapped.
fn place(descriptor: &Path, size: u64, maps: &str) -> Option<Range<u64>> {
    let metadata = fs::metadata(descriptor).ok()?;
    let place = (metadata.is_file() && metadata.len() == size).then(|| mapping(maps, metadata.ino()))??;
    (place.end - place.start == size).then_some(place)
}

/// `place`, where all of it is one private anonymous mapping (`/proc/PID/maps`, proc(5)).
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

/// Whether the process has a copy of a page of a private mapping. Documentation/admin-guide/mm/pagemap.rst: bit 61 is set
/// for a page of a file.
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
    fn memory_without_a_file_is_in_one_private_mapping() {
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
    fn a_file_of_another_size_is_not_the_ram() {
        let (maps, program) = (fs::read_to_string("/proc/self/maps").unwrap(), std::env::current_exe().unwrap());
        assert_eq!(place(&program, 1 << 50, &maps), None);
        assert_eq!(place(Path::new("/nowhere"), 1 << 20, &maps), None);
    }
}
