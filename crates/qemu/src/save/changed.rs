//! Saves the RAM without QEMU: what the guest has changed is read while it is paused. The rest is in the file that the VM
//! was restored from; it can be copied when the guest runs again or has ended.

use std::fs::File;
use std::io::{self, Error, ErrorKind};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use host::io_error::at_path;
use host::{memory, sparse_copy};
use model::Result;

use super::new_file::NewFile;
use crate::argv::RAM;
use crate::changed_memory::ChangedMemory;
use crate::direct_writer::{self, DirectWriter};
use crate::parallel_copy::copy;
use crate::{Qmp, ram_stream};

/// An empty description after the devices: one byte for its kind, four for its length, and JSON. QEMU expects it, though it
/// does not use it (migration/savevm.c, `QEMU_VM_VMDESCRIPTION`).
const DESCRIPTION: [u8; 7] = *b"\x06\0\0\0\x02{}";

/// The most memory that a save takes for pages that are not written yet, in bytes. For more pages the guest waits for the
/// disk.
const MOST_HELD: u64 = 2 << 30;

/// What such a save needs.
pub(super) struct Changed {
    memory: ChangedMemory,
    /// The beginning of the device state.
    head: Vec<u8>,
    /// Writes the RAM file; it has memory for what had changed when this was made.
    writer: DirectWriter,
    /// Whether the RAM file already has everything that has not changed.
    has_rest: bool,
}

impl Changed {
    /// `None` where it is not possible: there is no earlier state, or the kernel does not let us read the VM's memory.
    ///
    /// # Errors
    /// Host when the file cannot be prepared.
    pub(super) fn prepare(begun_from: &Path, qmp: &mut Qmp, size: u64, ram: &NewFile<'_>) -> Result<Option<Self>> {
        let head = File::open(begun_from).and_then(|state| ram_stream::head(state, RAM));
        let (Ok(head), Some(memory)) = (head, ChangedMemory::open(qmp, RAM, size)) else { return Ok(None) };
        let prepare = || -> io::Result<(DirectWriter, bool)> {
            let has_rest = memory.base.as_ref().is_none_or(|base| sparse_copy::refer(base, &ram.file));
            ram.file.set_len(size)?;
            // More will change before the guest is paused.
            let changed = total(&memory.changed()?);
            let held = (changed + changed / 8).min(MOST_HELD).min(memory::available() / 2);
            let writer = DirectWriter::holding(&ram.file, held)?;
            Ok((writer, has_rest))
        };
        let (writer, has_rest) = prepare().map_err(|error| at_path("write", ram.path, &error))?;
        Ok(Some(Changed { memory, head, writer, has_rest }))
    }

    /// Has QEMU write the device state, and puts the beginning before it.
    pub(super) fn devices(&self, qmp: &mut Qmp, state: &NewFile<'_>) -> Result<()> {
        qmp.save_devices(&state.file)?;
        let failed = |error| at_path("write", state.path, &error);
        let devices = std::fs::read(state.path).map_err(failed)?;
        let Some(devices) = devices.strip_prefix(&ram_stream::HEADER) else {
            let error = Error::new(ErrorKind::InvalidData, "QEMU's state of the devices is not understood");
            return Err(failed(error));
        };
        let whole = [&self.head, devices, &DESCRIPTION].concat();
        state.file.set_len(0).and_then(|()| state.file.write_all_at(&whole, 0)).map_err(failed)
    }

    /// Reads what has changed, and starts to write it. The guest must be paused.
    pub(super) fn ram(mut self, ram: &NewFile<'_>) -> Result<Rest> {
        let mut read = || -> io::Result<(Vec<Range<u64>>, u64)> {
            let changed = self.memory.changed()?;
            copy(&mut self.writer, &changed, |into, offset| self.memory.read(into, offset))?;
            let missing = if self.has_rest { Vec::new() } else { complement(&changed, ram.file.metadata()?.len()) };
            Ok((missing, total(&changed)))
        };
        let (missing, written) = read().map_err(|error| at_path("write", ram.path, &error))?;
        Ok(Rest { base: self.memory.base, writer: self.writer, path: ram.path.to_owned(), missing, written })
    }
}

/// The part of the RAM file that is still to be written.
#[derive(Debug)]
pub(super) struct Rest {
    /// The RAM file that the VM was restored from.
    base: Option<File>,
    writer: DirectWriter,
    path: PathBuf,
    /// What is to be copied from the base.
    missing: Vec<Range<u64>>,
    /// Bytes that are written or being written.
    pub(super) written: u64,
}

impl Rest {
    /// Writes it; returns all bytes that were written.
    pub(super) fn copy(mut self) -> Result<u64> {
        let copied = || -> io::Result<u64> {
            if let Some(base) = &self.base {
                let data = data_within(&self.missing, |at| pages_from(base, at))?;
                direct_writer::bypass_cache(base);
                copy(&mut self.writer, &data, |into, offset| base.read_exact_at(into, offset))?;
                self.written += total(&data);
            }
            self.writer.finish()?;
            Ok(self.written)
        };
        copied().map_err(|error| at_path("write", &self.path, &error))
    }
}

fn total(ranges: &[Range<u64>]) -> u64 {
    ranges.iter().map(|range| range.end - range.start).sum()
}

/// What is between the ranges, which are in order.
fn complement(ranges: &[Range<u64>], size: u64) -> Vec<Range<u64>> {
    let ends = std::iter::once(0).chain(ranges.iter().map(|range| range.end));
    let begins = ranges.iter().map(|range| range.start).chain(std::iter::once(size));
    ends.zip(begins).map(|(begin, end)| begin..end).filter(|range| !range.is_empty()).collect()
}

/// The parts of the ranges, which are in order, that have data. `extent_from` returns the first extent of data that ends
/// after an offset. It is called once for each extent: on tmpfs the kernel looks at every page up to its end.
fn data_within(
    ranges: &[Range<u64>],
    mut extent_from: impl FnMut(u64) -> io::Result<Option<Range<u64>>>,
) -> io::Result<Vec<Range<u64>>> {
    let mut found = Vec::new();
    let mut extent = 0..0;
    for range in ranges {
        let mut at = range.start;
        while at < range.end {
            if at >= extent.end {
                match extent_from(at)? {
                    Some(next) => extent = next,
                    None => return Ok(found),
                }
            }
            let data = at.max(extent.start)..range.end.min(extent.end);
            at = extent.end;
            if !data.is_empty() {
                found.push(data);
            }
        }
    }
    Ok(found)
}

/// An extent of the file, in whole pages.
fn pages_from(file: &File, at: u64) -> io::Result<Option<Range<u64>>> {
    let extent = sparse_copy::extent_from(file, at)?;
    Ok(extent.map(|extent| extent.start..extent.end.next_multiple_of(direct_writer::ALIGNMENT as u64)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: u64 = direct_writer::ALIGNMENT as u64;

    #[test]
    fn what_is_between_the_ranges_is_missing() {
        for (ranges, expected) in [
            (vec![], vec![(0, 8)]),
            (vec![0..2, 3..4, 4..5], vec![(2, 3), (5, 8)]),
            (vec![1..8, 8..8], vec![(0, 1)]),
            (vec![0..3, 3..8], vec![]),
        ] {
            let missing: Vec<_> = complement(&ranges, 8).iter().map(|range| (range.start, range.end)).collect();
            assert_eq!(missing, expected, "{ranges:?}");
        }
    }

    #[test]
    fn holes_of_the_base_are_not_copied() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(16 * PAGE).unwrap();
        for page in [1, 2, 9] {
            file.write_all_at(&[7; PAGE as usize], page * PAGE).unwrap();
        }
        let ranges = [0..2 * PAGE, 4 * PAGE..6 * PAGE, 8 * PAGE..16 * PAGE];
        let data = |ranges| data_within(ranges, |at| pages_from(&file, at)).unwrap();
        assert_eq!(data(&ranges), [PAGE..2 * PAGE, 9 * PAGE..10 * PAGE]);
        assert_eq!(data(&ranges[1..2]), []);
    }

    #[test]
    fn saves_on_tmpfs_took_ten_seconds_because_the_end_of_an_extent_was_looked_up_again_and_again() {
        let ranges: Vec<_> = (0..1000).map(|number| 2 * number * PAGE..(2 * number + 1) * PAGE).collect();
        let extents = [10 * PAGE..500 * PAGE, 500 * PAGE + 1..1_000_000 * PAGE];
        let mut asked = Vec::new();
        let data = data_within(&ranges, |at| {
            asked.push(at);
            Ok(extents.iter().find(|extent| extent.end > at).cloned())
        });
        assert_eq!((data.unwrap().len(), asked), (995, vec![0, 500 * PAGE]));
    }

    #[test]
    fn the_rest_is_copied_and_what_was_written_stays() {
        let (base, ram) = (tempfile::tempfile().unwrap(), tempfile::NamedTempFile::new().unwrap());
        base.write_all_at(&[1; 4 * PAGE as usize], 0).unwrap();
        ram.as_file().set_len(4 * PAGE).unwrap();
        ram.as_file().write_all_at(&[2; PAGE as usize], PAGE).unwrap();
        let missing = vec![0..PAGE, 2 * PAGE..4 * PAGE];
        let writer = DirectWriter::new(ram.as_file()).unwrap();
        let rest = Rest { base: Some(base), writer, path: ram.path().to_owned(), missing, written: PAGE };
        assert_eq!(rest.copy().unwrap(), 4 * PAGE);
        let pages: Vec<_> = std::fs::read(ram.path()).unwrap().chunks(PAGE as usize).map(|page| page[0]).collect();
        assert_eq!(pages, [1, 2, 1, 1]);
    }
}
