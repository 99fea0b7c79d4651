//! Writes a large file with O_DIRECT, in pieces, by several threads.
//!
//! A gigabyte that nobody reads soon then needs no free memory for the page cache, evicts nothing from it, and is on the
//! disk when it is written. On a filesystem without O_DIRECT the writes are ordinary ones.

use std::fs::File;
use std::io::{self, Error, ErrorKind};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

/// Offsets, lengths and addresses in memory are multiples of this, which suits every block device (open(2), O_DIRECT).
pub(crate) const ALIGNMENT: usize = 4096;
/// The size of a piece in bytes.
const LENGTH: usize = 4 << 20;
/// The least number of pieces: one for each thread to write, and as many to fill meanwhile.
const PIECES: usize = 2 * THREADS;
const THREADS: usize = 2;

/// Ranges of the file in memory, one after the other.
pub(crate) struct Piece {
    memory: Vec<u8>,
    /// The index of the first aligned byte in it.
    begin: usize,
    length: usize,
    ranges: Vec<Range<u64>>,
}

impl Piece {
    /// `fill` is the initial value of its memory. The kernel allocates zeros only when they are used, anything else at once.
    fn new(fill: u8) -> Self {
        let memory = vec![fill; LENGTH + ALIGNMENT];
        let begin = memory.as_ptr().align_offset(ALIGNMENT);
        Piece { memory, begin, length: 0, ranges: Vec::new() }
    }

    fn empty(&mut self, offset: u64) {
        self.length = 0;
        self.ranges.clear();
        self.ranges.push(offset..offset);
    }

    /// The offset in the file of its next byte.
    pub(crate) fn end(&self) -> u64 {
        self.ranges.last().map_or(0, |range| range.end)
    }

    /// Sets the offset of its next byte, a multiple of [`ALIGNMENT`].
    pub(crate) fn go_to(&mut self, offset: u64) {
        if self.end() != offset {
            self.ranges.push(offset..offset);
        }
    }

    /// The bytes that still fit.
    pub(crate) fn room(&self) -> usize {
        LENGTH - self.length
    }

    /// The next `count` bytes, a multiple of [`ALIGNMENT`] and no more than [`Piece::room`]. The caller must fill them: their
    /// content is undefined.
    pub(crate) fn next(&mut self, count: usize) -> &mut [u8] {
        let begin = self.begin + self.length;
        self.length += count;
        if let Some(range) = self.ranges.last_mut() {
            range.end += count as u64;
        }
        &mut self.memory[begin..begin + count]
    }

    /// The offset and the bytes of each range.
    fn parts(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let mut rest = &self.memory[self.begin..self.begin + self.length];
        self.ranges.iter().map(move |range| {
            let (part, behind) = rest.split_at((range.end - range.start) as usize);
            rest = behind;
            (range.start, part)
        })
    }
}

/// Writes the pieces of a file; each byte is in one piece. When it is dropped, the file is without O_DIRECT again.
#[derive(Debug)]
pub(crate) struct DirectWriter {
    file: File,
    /// `None` once all pieces have been handed over.
    full: Option<Sender<Piece>>,
    empty: Receiver<io::Result<Piece>>,
    threads: Vec<JoinHandle<()>>,
}

impl DirectWriter {
    /// A writer for `file`, which nobody else may write to meanwhile.
    ///
    /// # Errors
    /// Those of copying its descriptor.
    pub(crate) fn new(file: &File) -> io::Result<Self> {
        Self::holding(file, 0)
    }

    /// A writer that has memory for `bytes`: so many are accepted without a wait for the disk. The memory is allocated when
    /// this returns.
    ///
    /// # Errors
    /// As [`DirectWriter::new`].
    pub(crate) fn holding(file: &File, bytes: u64) -> io::Result<Self> {
        bypass_cache(file);
        let pieces = usize::try_from(bytes).unwrap_or(usize::MAX).div_ceil(LENGTH).max(PIECES);
        let (full, to_write) = mpsc::channel::<Piece>();
        let (written, empty) = mpsc::channel();
        let to_write = Arc::new(Mutex::new(to_write));
        for _ in 0..pieces {
            // It cannot fail: `empty` is the receiver.
            let _ = written.send(Ok(Piece::new(u8::from(pieces > PIECES))));
        }
        let mut threads = Vec::new();
        for _ in 0..THREADS {
            let (file, to_write, written) = (file.try_clone()?, Arc::clone(&to_write), written.clone());
            threads.push(thread::spawn(move || {
                loop {
                    let next = to_write.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(piece) = next else { return };
                    let done = piece.parts().try_for_each(|(offset, bytes)| write(&file, bytes, offset));
                    let done = done.map(|()| piece);
                    if written.send(done).is_err() {
                        return;
                    }
                }
            }));
        }
        Ok(DirectWriter { file: file.try_clone()?, full: Some(full), empty, threads })
    }

    /// Waits for an empty piece, to be written at `offset`, a multiple of [`ALIGNMENT`].
    ///
    /// # Errors
    /// An error of writing an earlier piece.
    pub(crate) fn piece(&mut self, offset: u64) -> io::Result<Piece> {
        let mut piece = self.empty.recv().map_err(|_| ended())??;
        piece.empty(offset);
        Ok(piece)
    }

    /// Hands a piece over to be written.
    ///
    /// # Errors
    /// An error when no thread is left.
    pub(crate) fn write(&self, piece: Piece) -> io::Result<()> {
        self.full.as_ref().ok_or_else(ended)?.send(piece).map_err(|_| ended())
    }

    /// Waits until everything is written.
    ///
    /// # Errors
    /// An error of writing a piece.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        drop(self.full.take());
        for thread in self.threads.drain(..) {
            thread.join().map_err(|_| ended())?;
        }
        self.empty.try_iter().try_for_each(|piece| piece.map(drop))
    }
}

impl Drop for DirectWriter {
    fn drop(&mut self) {
        set_direct(&self.file, false);
    }
}

fn ended() -> Error {
    Error::other("a thread that writes the file ended")
}

/// Turns O_DIRECT on: from then on reads and writes must be aligned ([`ALIGNMENT`]). Whether the filesystem supports it.
pub(crate) fn bypass_cache(file: &File) -> bool {
    set_direct(file, true)
}

fn set_direct(file: &File, direct: bool) -> bool {
    fcntl_getfl(file)
        .and_then(|mut flags| {
            flags.set(OFlags::DIRECT, direct);
            fcntl_setfl(file, flags)
        })
        .is_ok()
}

fn write(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    match file.write_all_at(bytes, offset) {
        // Some filesystems accept the flag and refuse the writes.
        Err(error) if error.kind() == ErrorKind::InvalidInput && set_direct(file, false) => {
            file.write_all_at(bytes, offset)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn fill(piece: &mut Piece, with: u8) {
        piece.next(ALIGNMENT).fill(with);
    }

    fn pieces_arrive(directory: &Path) {
        let file = tempfile::NamedTempFile::new_in(directory).unwrap();
        let count = 3 * PIECES;
        file.as_file().set_len((count * 2 * ALIGNMENT) as u64).unwrap();
        let mut writer = DirectWriter::new(file.as_file()).unwrap();
        for number in (0..count).rev() {
            let mut piece = writer.piece((number * 2 * ALIGNMENT) as u64).unwrap();
            fill(&mut piece, number as u8 + 1);
            assert_eq!(piece.end(), ((number * 2 + 1) * ALIGNMENT) as u64);
            writer.write(piece).unwrap();
        }
        writer.finish().unwrap();
        let bytes = std::fs::read(file.path()).unwrap();
        for (number, block) in bytes.chunks(ALIGNMENT).enumerate() {
            let expected = if number % 2 == 0 { number / 2 + 1 } else { 0 };
            assert!(block.iter().all(|byte| usize::from(*byte) == expected), "block {number}");
        }
        // Ordinary writes work again.
        std::fs::OpenOptions::new()
            .append(true)
            .open(file.path())
            .and_then(|mut file| io::Write::write_all(&mut file, b"x"))
            .unwrap();
    }

    #[test]
    fn pieces_are_written_at_their_offsets_on_a_disk_and_in_memory() {
        pieces_arrive(&std::env::temp_dir());
        if Path::new("/dev/shm").is_dir() {
            pieces_arrive(Path::new("/dev/shm"));
        }
    }

    #[test]
    fn a_piece_has_several_ranges_and_as_many_fit_in_memory_as_were_asked_for() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len((16 * ALIGNMENT) as u64).unwrap();
        let mut writer = DirectWriter::holding(file.as_file(), (6 * LENGTH) as u64).unwrap();
        // Nothing is written yet, and nobody waits.
        let mut pieces: Vec<Piece> = (0..6).map(|_| writer.piece(0).unwrap()).collect();
        let mut piece = pieces.pop().unwrap();
        for (page, with) in [(0, 1), (1, 2), (9, 3), (4, 4)] {
            piece.go_to((page * ALIGNMENT) as u64);
            fill(&mut piece, with);
        }
        assert_eq!((piece.end(), piece.ranges.len()), ((5 * ALIGNMENT) as u64, 3));
        writer.write(piece).unwrap();
        drop(pieces);
        writer.finish().unwrap();
        let pages: Vec<u8> = std::fs::read(file.path()).unwrap().chunks(ALIGNMENT).map(|page| page[0]).collect();
        assert_eq!(pages, [1, 2, 0, 0, 4, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_piece_has_room_for_its_length() {
        let mut piece = Piece::new(0);
        piece.empty(0);
        assert_eq!((piece.room(), piece.end()), (LENGTH, 0));
        assert_eq!(piece.next(LENGTH).as_ptr().align_offset(ALIGNMENT), 0);
        assert_eq!((piece.room(), piece.end()), (0, LENGTH as u64));
    }

    #[test]
    fn a_write_that_fails_is_reported() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let readable = File::open(file.path()).unwrap();
        let mut writer = DirectWriter::new(&readable).unwrap();
        let mut piece = writer.piece(0).unwrap();
        fill(&mut piece, 1);
        writer.write(piece).unwrap();
        assert!(writer.finish().is_err());
        let mut writer = DirectWriter::new(&readable).unwrap();
        let failed = (0..10 * PIECES).find_map(|_| {
            let mut piece = match writer.piece(0) {
                Ok(piece) => piece,
                Err(error) => return Some(error),
            };
            fill(&mut piece, 1);
            writer.write(piece).err()
        });
        assert!(failed.is_some(), "all pieces would be lost");
    }
}
