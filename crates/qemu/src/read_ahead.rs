//! Reads the working set of a RAM file ahead, so that a restored guest does not wait for the disk page by page. The working
//! set is what an earlier restored guest touched.
//!
//! Where it fails, the restored guest is slower, nothing else.

use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use host::files::{self, Mode};
use host::io_error::at_path;
use host::sparse_copy;
use model::{Error, ErrorClass, Result};
use rustix::fs::{Advice, fadvise};

/// Bytes of a page of x86.
const PAGE: u64 = 4096;
/// The largest gap between touched pages that is read too: one large read costs less than two small ones.
const GAP: u64 = 32 * 1024;

/// Writes to `file` which parts of the RAM file `ram` the process `pid`, a QEMU restored from it, has touched; returns their
/// size in bytes. Call it when the guest is ready.
///
/// # Errors
/// Failed when the process does not map the file; an error of `/proc` or of writing `file`.
pub fn write(file: &Path, pid: u32, ram: &Path) -> Result<u64> {
    let proc = PathBuf::from(format!("/proc/{pid}"));
    let read = |name: &str| {
        let path = proc.join(name);
        std::fs::read_to_string(&path).map_err(|error| at_path("read", &path, &error))
    };
    let inode = std::fs::metadata(ram).map_err(|error| at_path("look at", ram, &error))?.ino();
    let Some(mapping) = mapping(&read("maps")?, inode) else {
        return Err(Error::new(ErrorClass::Failed, format!("process {pid} does not map {}", ram.display())));
    };
    let pagemap = proc.join("pagemap");
    let touched = parts(&pagemap, &mapping, is_touched).map_err(|error| at_path("read", &pagemap, &error))?;
    let mut text = String::new();
    for range in &touched {
        let _ = writeln!(text, "{} {}", range.start, range.end);
    }
    files::write_atomic(file, text.as_bytes(), Mode::Exactly(0o600))?;
    Ok(touched.iter().map(|range| range.end - range.start).sum())
}

/// Starts a thread that reads all data of a RAM file ahead, but not its holes, which would become pages of zeros in the
/// host's memory.
pub(crate) fn start_whole(ram: PathBuf) {
    std::thread::spawn(move || {
        let Ok(ram) = File::open(ram) else { return };
        let mut begin = 0;
        while let Ok(Some(extent)) = sparse_copy::extent_from(&ram, begin) {
            let _ = fadvise(&ram, extent.start, NonZeroU64::new(extent.end - extent.start), Advice::WillNeed);
            begin = extent.end;
        }
    });
}

/// Starts a thread that reads the parts in the file `working_set` ahead.
pub(crate) fn start(ram: PathBuf, working_set: PathBuf) {
    std::thread::spawn(move || {
        let Ok(text) = std::fs::read_to_string(working_set) else { return };
        let Ok(ram) = File::open(ram) else { return };
        for range in parse(&text) {
            // It starts the read and waits only where the disk's queue is full (posix_fadvise(2)).
            let _ = fadvise(&ram, range.start, NonZeroU64::new(range.end - range.start), Advice::WillNeed);
        }
    });
}

fn parse(text: &str) -> impl Iterator<Item = Range<u64>> {
    text.lines().filter_map(|line| {
        let (start, end) = line.split_once(' ')?;
        let range = start.parse().ok()?..end.parse().ok()?;
        (range.start < range.end).then_some(range)
    })
}

/// The address range at which the file with this inode is mapped from its beginning (`/proc/PID/maps`, proc(5)).
pub(crate) fn mapping(maps: &str, inode: u64) -> Option<Range<u64>> {
    maps.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let offset = words.nth(1)?;
        let found: u64 = words.nth(1)?.parse().ok()?;
        let hexadecimal = |text| u64::from_str_radix(text, 16).ok();
        (found == inode && hexadecimal(offset)? == 0).then_some(hexadecimal(start)?..hexadecimal(end)?)
    })
}

/// The parts of the mapping, relative to its start, for whose entries in `pagemap` `wanted` is true, and small gaps between
/// them.
pub(crate) fn parts(pagemap: &Path, mapping: &Range<u64>, wanted: impl Fn(u64) -> bool) -> io::Result<Vec<Range<u64>>> {
    let file = File::open(pagemap)?;
    let mut entries = vec![0; 8 * 64 * 1024];
    let mut ranges: Vec<Range<u64>> = Vec::new();
    let mut at = mapping.start;
    while at < mapping.end {
        let count = usize::try_from((mapping.end - at) / PAGE * 8).unwrap_or(usize::MAX).min(entries.len());
        file.read_exact_at(&mut entries[..count], at / PAGE * 8)?;
        for entry in entries[..count].as_chunks::<8>().0 {
            if wanted(u64::from_ne_bytes(*entry)) {
                add(&mut ranges, at - mapping.start);
            }
            at += PAGE;
        }
    }
    Ok(ranges)
}

/// Whether a process has a page in its memory. Documentation/admin-guide/mm/pagemap.rst: bit 63 is set for a page in
/// memory, bit 62 for one swapped out.
pub(crate) fn is_touched(entry: u64) -> bool {
    entry >> 62 != 0
}

fn add(ranges: &mut Vec<Range<u64>>, page: u64) {
    match ranges.last_mut() {
        Some(last) if page - last.end <= GAP => last.end = page + PAGE,
        _ => ranges.push(page..page + PAGE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mapping_is_found_by_its_inode() {
        let maps = "55d0-55d1 r--p 00000000 fe:00 12 /usr/bin/qemu-system-x86_64\n\
                    7f0000000000-7f0080000000 rw-p 00000000 fe:00 4711    /tmp/a b/ram\n\
                    7f0080000000-7f0080001000 rw-p 00001000 fe:00 4711    /tmp/a b/ram\n";
        assert_eq!(mapping(maps, 4711), Some(0x7f00_0000_0000..0x7f00_8000_0000));
        assert_eq!(mapping(maps, 4), None);
    }

    #[test]
    fn near_pages_are_one_range_and_damaged_lines_are_ignored() {
        let mut ranges = Vec::new();
        for page in [0, PAGE, PAGE + GAP, 100 * GAP] {
            add(&mut ranges, page);
        }
        assert_eq!(ranges, [0..2 * PAGE + GAP, 100 * GAP..100 * GAP + PAGE]);
        assert_eq!(parse("0 4096\nx y\n8 8\n9 8\n\n4096 8192\n").collect::<Vec<_>>(), [0..4096, 4096..8192]);
    }

    #[test]
    fn pages_that_a_process_has_touched_are_found() {
        let directory = tempfile::tempdir().unwrap();
        let program = std::env::current_exe().unwrap();
        let bytes = write(&directory.path().join("set"), std::process::id(), &program).unwrap();
        assert!(bytes > 0);
        let error = write(&directory.path().join("set"), std::process::id(), directory.path()).unwrap_err();
        assert!(error.to_string().contains("does not map"), "{error}");
    }
}
