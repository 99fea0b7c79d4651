//! Copies many ranges of memory or of a file into another file, with several readers.

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::direct_writer::{DirectWriter, Piece};

/// Fewer than the writer's pieces, so that there is one to write while all readers wait.
const READERS: usize = 2;
/// The bytes of one read.
const LENGTH: u64 = 256 * 1024;

/// Reads the ranges with `read`, which gets a buffer and the offset, and hands everything over to the writer. When this
/// returns, everything has been read, but may not be written yet.
///
/// # Errors
/// Errors of reading, and of the writes so far.
pub(crate) fn copy(
    writer: &mut DirectWriter,
    ranges: &[Range<u64>],
    read: impl Fn(&mut [u8], u64) -> io::Result<()> + Sync,
) -> io::Result<()> {
    let (parts, next, writer) = (parts(ranges), AtomicUsize::new(0), Mutex::new(writer));
    let reader = || -> io::Result<()> {
        let writer = || -> MutexGuard<'_, &mut DirectWriter> { writer.lock().unwrap_or_else(PoisonError::into_inner) };
        let mut current: Option<Piece> = None;
        while let Some(part) = parts.get(next.fetch_add(1, Ordering::Relaxed)) {
            let count = usize::try_from(part.end - part.start).map_err(io::Error::other)?;
            let mut piece = match current.take() {
                Some(mut piece) if piece.room() >= count => {
                    piece.go_to(part.start);
                    piece
                }
                full => {
                    let mut writer = writer();
                    full.map_or(Ok(()), |full| writer.write(full))?;
                    writer.piece(part.start)?
                }
            };
            read(piece.next(count), part.start)?;
            current = Some(piece);
        }
        current.map_or(Ok(()), |piece| writer().write(piece))
    };
    thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS).map(|_| scope.spawn(reader)).collect();
        let ended = |_| Err(io::Error::other("a thread that reads ended"));
        readers.into_iter().try_for_each(|reader| reader.join().unwrap_or_else(ended))
    })
}

fn parts(ranges: &[Range<u64>]) -> Vec<Range<u64>> {
    let parts_of = |range: &Range<u64>| {
        let end = range.end;
        (range.start..end).step_by(LENGTH as usize).map(move |begin| begin..end.min(begin + LENGTH))
    };
    ranges.iter().flat_map(parts_of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: u64 = crate::direct_writer::ALIGNMENT as u64;

    #[test]
    fn ranges_are_read_in_parts() {
        assert_eq!(
            parts(&[0..PAGE, LENGTH..3 * LENGTH + 1, 9..9]),
            [0..PAGE, LENGTH..2 * LENGTH, 2 * LENGTH..3 * LENGTH, 3 * LENGTH..3 * LENGTH + 1]
        );
    }

    #[test]
    fn the_ranges_are_copied_and_nothing_else_is_written() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let pages = 60_000;
        file.as_file().set_len(pages * PAGE).unwrap();
        let ranges: Vec<_> = (0..pages / 6).map(|number| number * 6 * PAGE..(number * 6 + number % 5) * PAGE).collect();
        let mut writer = DirectWriter::new(file.as_file()).unwrap();
        let number = |offset: u64| (offset / PAGE % 251) as u8 + 1;
        copy(&mut writer, &ranges, |into, offset| {
            for (page, bytes) in into.chunks_mut(PAGE as usize).enumerate() {
                bytes.fill(number(offset + page as u64 * PAGE));
            }
            Ok(())
        })
        .unwrap();
        writer.finish().unwrap();
        let bytes = std::fs::read(file.path()).unwrap();
        for (page, bytes) in bytes.chunks(PAGE as usize).enumerate() {
            let offset = page as u64 * PAGE;
            let is_meant = ranges[page / 6].contains(&offset);
            let expected = if is_meant { number(offset) } else { 0 };
            assert!(bytes.iter().all(|byte| *byte == expected), "page {page}");
        }
    }

    #[test]
    fn a_read_that_fails_is_reported() {
        let file = tempfile::tempfile().unwrap();
        let mut writer = DirectWriter::new(&file).unwrap();
        let error = copy(&mut writer, &[0..2 * LENGTH, 4 * LENGTH..100 * LENGTH], |_, offset| match offset {
            LENGTH => Err(io::Error::other("gone")),
            _ => Ok(()),
        });
        assert_eq!(error.unwrap_err().to_string(), "gone");
    }
}
