//! Large files written around the page cache, in pieces, by threads that keep the disk busy.
//!
//! Who writes a gigabyte that nobody will read soon does not have to wait for that much free memory, nor throw away what
//! others have in the cache; and what was written is on the disk. A filesystem that cannot do this gets ordinary writes.

use std::fs::File;
use std::io::{self, Error, ErrorKind};
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

/// What offsets, lengths and addresses in memory are multiples of: enough for every block device (open(2), O_DIRECT).
pub const ALIGNMENT: usize = 4096;
/// The bytes that a piece holds.
const LENGTH: usize = 4 << 20;
/// How many there are: each thread writes one, and as many are being filled or wait.
const PIECES: usize = 2 * THREADS;
const THREADS: usize = 2;

/// A part of the file in memory.
pub struct Piece {
    memory: Vec<u8>,
    /// Where in it the first aligned byte is.
    begin: usize,
    length: usize,
    offset: u64,
}

impl Piece {
    fn new() -> Self {
        let memory = vec![0; LENGTH + ALIGNMENT];
        let begin = memory.as_ptr().align_offset(ALIGNMENT);
        Piece { memory, begin, length: 0, offset: 0 }
    }

    /// Where in the file its next byte belongs.
    pub fn end(&self) -> u64 {
        self.offset + self.length as u64
    }

    /// How many bytes it can still take.
    pub fn room(&self) -> usize {
        LENGTH - self.length
    }

    /// The next `count` bytes, a multiple of [`ALIGNMENT`] and no more than [`Piece::room`], to be filled by the caller:
    /// they hold anything.
    pub fn next(&mut self, count: usize) -> &mut [u8] {
        let begin = self.begin + self.length;
        self.length += count;
        &mut self.memory[begin..begin + count]
    }

    fn bytes(&self) -> &[u8] {
        &self.memory[self.begin..self.begin + self.length]
    }
}

/// Writes pieces of one file, each of which has its bytes once. After it the file is read and written as ever.
pub struct DirectWriter {
    file: File,
    /// Nothing once all pieces are on their way.
    full: Option<Sender<Piece>>,
    empty: Receiver<io::Result<Piece>>,
    threads: Vec<JoinHandle<()>>,
}

impl DirectWriter {
    /// For `file`, which is written by nobody else meanwhile.
    ///
    /// # Errors
    /// Those of copying its descriptor.
    pub fn new(file: &File) -> io::Result<Self> {
        bypass_cache(file);
        let (full, to_write) = mpsc::channel::<Piece>();
        let (written, empty) = mpsc::channel();
        let to_write = Arc::new(Mutex::new(to_write));
        for _ in 0..PIECES {
            // The receiver is here.
            let _ = written.send(Ok(Piece::new()));
        }
        let mut threads = Vec::new();
        for _ in 0..THREADS {
            let (file, to_write, written) = (file.try_clone()?, Arc::clone(&to_write), written.clone());
            threads.push(thread::spawn(move || {
                loop {
                    let next = to_write.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(piece) = next else { return };
                    let done = write(&file, piece.bytes(), piece.offset).map(|()| piece);
                    if written.send(done).is_err() {
                        return;
                    }
                }
            }));
        }
        Ok(DirectWriter { file: file.try_clone()?, full: Some(full), empty, threads })
    }

    /// An empty piece whose first byte belongs at `offset`, a multiple of [`ALIGNMENT`]; waits until there is one.
    ///
    /// # Errors
    /// What an earlier piece met.
    pub fn piece(&mut self, offset: u64) -> io::Result<Piece> {
        let mut piece = self.empty.recv().map_err(|_| ended())??;
        piece.length = 0;
        piece.offset = offset;
        Ok(piece)
    }

    /// Has a piece written.
    ///
    /// # Errors
    /// That nobody writes any more.
    pub fn write(&mut self, piece: Piece) -> io::Result<()> {
        self.full.as_ref().ok_or_else(ended)?.send(piece).map_err(|_| ended())
    }

    /// Waits until all is written.
    ///
    /// # Errors
    /// What a piece met.
    pub fn finish(mut self) -> io::Result<()> {
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

/// Asks for reads and writes around the page cache, which from then on have to be aligned ([`ALIGNMENT`]); whether the
/// filesystem agrees.
pub fn bypass_cache(file: &File) -> bool {
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
        // Some filesystems agree first and refuse then.
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

    fn pieces_arrive(folder: &Path) {
        let file = tempfile::NamedTempFile::new_in(folder).unwrap();
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
        // Others write to it as ever.
        std::fs::OpenOptions::new()
            .append(true)
            .open(file.path())
            .and_then(|mut file| io::Write::write_all(&mut file, b"x"))
            .unwrap();
    }

    #[test]
    fn pieces_go_where_they_belong_on_a_disk_and_in_memory() {
        pieces_arrive(&std::env::temp_dir());
        if Path::new("/dev/shm").is_dir() {
            pieces_arrive(Path::new("/dev/shm"));
        }
    }

    #[test]
    fn a_piece_takes_so_much() {
        let mut piece = Piece::new();
        assert_eq!((piece.room(), piece.end()), (LENGTH, 0));
        assert_eq!(piece.next(LENGTH).as_ptr().align_offset(ALIGNMENT), 0);
        assert_eq!((piece.room(), piece.end()), (0, LENGTH as u64));
    }

    #[test]
    fn a_write_that_fails_is_told() {
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
