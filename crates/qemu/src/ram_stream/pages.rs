//! Writes the RAM file: pages that follow each other in one write, and pages of zeros as holes.

use std::fs::File;
use std::io::{self, Read};

use super::format::{PAGE, unknown};
use crate::direct_writer::{DirectWriter, Piece};

/// The most zeros between two pages that are written with them: one large write costs less than two small ones.
const GAP: usize = 64 << 10;

/// Writes the pages of an empty RAM file, each of which comes once.
pub(super) struct Pages {
    writer: DirectWriter,
    size: u64,
    /// Which pages have come.
    seen: Vec<bool>,
    piece: Option<Piece>,
    data: u64,
}

impl Pages {
    /// A writer for RAM of `size` bytes.
    pub(super) fn new(file: &File, size: u64) -> io::Result<Self> {
        let seen = vec![false; (size / PAGE as u64) as usize];
        Ok(Pages { writer: DirectWriter::new(file)?, size, seen, piece: None, data: 0 })
    }

    /// The size of the RAM in bytes.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Reads the page at `address` from `input`.
    pub(super) fn data(&mut self, address: u64, input: &mut impl Read) -> io::Result<()> {
        self.mark(address)?;
        let mut piece = match self.piece.take() {
            Some(piece) => self.continued(piece, address)?,
            None => self.writer.piece(address)?,
        };
        let read = input.read_exact(piece.next(PAGE));
        self.piece = Some(piece);
        self.data += PAGE as u64;
        read
    }

    /// The page at `address` is zeros.
    pub(super) fn zero(&mut self, address: u64) -> io::Result<()> {
        self.mark(address)
    }

    /// A piece that continues at `address`: this one where the gap is small, otherwise a new one.
    fn continued(&mut self, mut piece: Piece, address: u64) -> io::Result<Piece> {
        let end = piece.end();
        let gap = usize::try_from(address.wrapping_sub(end)).unwrap_or(usize::MAX);
        let between = || self.seen[(end / PAGE as u64) as usize..(address / PAGE as u64) as usize].iter();
        // A page in the gap that has not come yet may have data, which zeros must not overwrite.
        if gap <= GAP && gap + PAGE <= piece.room() && between().all(|seen| *seen) {
            piece.next(gap).fill(0);
            return Ok(piece);
        }
        self.writer.write(piece)?;
        self.writer.piece(address)
    }

    /// Marks a page as seen. A second one would mean that a paused guest has changed it, and zeros could not overwrite the
    /// first one: they are a hole.
    fn mark(&mut self, address: u64) -> io::Result<()> {
        match self.seen.get_mut((address / PAGE as u64) as usize) {
            Some(seen) if !*seen => {
                *seen = true;
                Ok(())
            }
            Some(_) => Err(unknown(format!("the page at {address:#x} comes twice"))),
            None => Err(unknown(format!("a page at {address:#x}, behind the end of RAM"))),
        }
    }

    /// Waits until everything is written; returns the bytes of pages that are not zeros.
    pub(super) fn finish(mut self) -> io::Result<u64> {
        if let Some(piece) = self.piece.take() {
            self.writer.write(piece)?;
        }
        self.writer.finish()?;
        match self.seen.iter().filter(|seen| !**seen).count() {
            0 => Ok(self.data),
            missing => Err(unknown(format!("{missing} pages of RAM are missing"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    const COUNT: u64 = 64;

    /// Writes pages, each a number and whether it has data, in this order. Returns the pages with data in the file, and the
    /// pages that the file takes on the disk.
    fn written(pages: &[(u64, bool)]) -> (Vec<u64>, u64) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(COUNT * PAGE as u64).unwrap();
        let mut ram = Pages::new(file.as_file(), COUNT * PAGE as u64).unwrap();
        for (number, has_data) in pages {
            let address = number * PAGE as u64;
            if *has_data {
                ram.data(address, &mut io::repeat(*number as u8 + 1)).unwrap();
            } else {
                ram.zero(address).unwrap();
            }
        }
        ram.finish().unwrap();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        let with_data = bytes.chunks(PAGE).enumerate().filter_map(|(number, page)| {
            assert!(page.iter().all(|byte| *byte == 0 || *byte == number as u8 + 1), "page {number}");
            (page[0] != 0).then_some(number as u64)
        });
        (with_data.collect(), file.as_file().metadata().unwrap().blocks() * 512 / PAGE as u64)
    }

    #[test]
    fn a_small_gap_of_zeros_is_written_and_a_large_one_is_a_hole() {
        let pages: Vec<_> = (0..COUNT).map(|number| (number, [0, 3, 60].contains(&number))).collect();
        assert_eq!(written(&pages), (vec![0, 3, 60], 5));
    }

    #[test]
    fn a_page_that_comes_late_is_not_overwritten_by_the_zeros_of_a_gap() {
        let mut pages = vec![(0, true), (3, true), (1, true), (2, false)];
        pages.extend((4..COUNT).map(|number| (number, false)));
        assert_eq!(written(&pages).0, [0, 1, 3]);
    }
}
