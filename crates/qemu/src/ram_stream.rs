//! Separates the RAM from a migration stream: the pages go to their offsets in a file that can be mapped. The rest is a
//! stream of device state, as QEMU writes it for RAM that stays in its file.
//!
//! Source of the format: migration/savevm.c and migration/ram.c of QEMU 7.2 and 10.0, which do not differ here. The stream
//! must have been made with `x-ignore-shared`, so that the reader can set it too. Everything unknown is an error: a saved
//! state is complete, or there is none.

mod format;
mod pages;

use std::fs::File;
use std::io::{self, BufReader, Read, Write};

use format::{RAM_VERSION, flag, part, unknown};
use pages::Pages;

pub(crate) use format::{HEADER, PAGE};

/// The bytes of one read from the stream.
const CHUNK: usize = 1 << 20;

/// Splits `stream` into `ram` and `state`. The RAM block `block` has `size` bytes, and `ram` is an empty file of that size.
/// Each page must be in the stream once. Returns the bytes of RAM in pages that are not zeros.
///
/// # Errors
/// `InvalidData` for a stream that is not understood, `UnexpectedEof` for one that ends early; errors of the files.
pub(crate) fn split(stream: impl Read, block: &str, size: u64, ram: &File, state: impl Write) -> io::Result<u64> {
    let input = BufReader::with_capacity(CHUNK, stream);
    let mut splitter = Splitter { input, state, block, of_block: false, ram: Some(Pages::new(ram, size)?) };
    splitter.header()?;
    splitter.ram_sections()?;
    let Splitter { mut input, mut state, ram, .. } = splitter;
    io::copy(&mut input, &mut state)?;
    state.flush()?;
    ram.map_or(Ok(0), Pages::finish)
}

/// The part of a state of [`split`] before the first device. It describes the RAM, and stays the same for a VM that was
/// restored from the state.
///
/// # Errors
/// As [`split`], and an error where the state has pages of RAM.
pub(crate) fn head(state: impl Read, block: &str) -> io::Result<Vec<u8>> {
    let input = BufReader::with_capacity(CHUNK, state);
    let mut splitter = Splitter { input, state: Vec::new(), block, of_block: false, ram: None };
    splitter.header()?;
    splitter.ram_sections()?;
    Ok(splitter.state)
}

struct Splitter<'a, R, W> {
    input: BufReader<R>,
    state: W,
    block: &'a str,
    /// Whether the last record was of that block.
    of_block: bool,
    ram: Option<Pages>,
}

impl<R: Read, W: Write> Splitter<'_, R, W> {
    /// The header of the stream.
    fn header(&mut self) -> io::Result<()> {
        if self.keep::<8>()? != HEADER {
            return Err(unknown("it is not a migration stream of version 3"));
        }
        Ok(())
    }

    /// The configuration and all sections of RAM.
    fn ram_sections(&mut self) -> io::Result<()> {
        let mut kind = self.keep_byte()?;
        if kind == part::CONFIGURATION {
            let length = self.keep_u32()?;
            self.keep_bytes(length as usize)?;
            kind = self.keep_byte()?;
            while kind == part::SUBSECTION {
                self.subsection()?;
                kind = self.keep_byte()?;
            }
        }
        if kind != part::START {
            return Err(unknown(format!("the first part is not RAM but of kind {kind:#04x}")));
        }
        let section = self.keep_u32()?;
        let name = self.keep_text()?;
        self.keep_u32()?; // the instance
        let version = self.keep_u32()?;
        if (name.as_str(), version) != ("ram", RAM_VERSION) {
            return Err(unknown(format!("the first section is {name:?} of version {version}, not RAM")));
        }
        loop {
            self.records()?;
            if (self.keep_byte()?, self.keep_u32()?) != (part::FOOTER, section) {
                return Err(unknown("the section of RAM has no end"));
            }
            if kind == part::END {
                return Ok(());
            }
            kind = self.keep_byte()?;
            while kind == part::COMMAND {
                // A command to the reader, such as that the last part begins (QEMU 10).
                self.keep::<2>()?;
                let length = u16::from_be_bytes(self.keep()?);
                self.keep_bytes(usize::from(length))?;
                kind = self.keep_byte()?;
            }
            if !matches!(kind, part::PART | part::END) || self.keep_u32()? != section {
                return Err(unknown(format!("a part of kind {kind:#04x} is between those of RAM")));
            }
        }
    }

    /// A subsection of the configuration.
    fn subsection(&mut self) -> io::Result<()> {
        let name = self.keep_text()?;
        self.keep_u32()?; // the version
        match name.as_str() {
            "configuration/capabilities" => {
                for _ in 0..self.keep_u32()? {
                    self.keep_text()?;
                }
                Ok(())
            }
            _ => Err(unknown(format!("the subsection {name:?}"))),
        }
    }

    /// The records of one section of RAM.
    fn records(&mut self) -> io::Result<()> {
        loop {
            let mut word = [0; 8];
            self.input.read_exact(&mut word)?;
            let head = u64::from_be_bytes(word);
            let (address, flags) = (head & !flag::ALL, head & flag::ALL);
            match flags & !flag::SAME_BLOCK {
                flag::END => return self.state.write_all(&word),
                flag::MEMORY_SIZE => {
                    self.state.write_all(&word)?;
                    self.blocks(address)?;
                }
                flag::ZERO | flag::PAGE => self.page(&word, address, flags)?,
                _ => return Err(unknown(format!("a record of RAM with the flags {flags:#x}"))),
            }
        }
    }

    /// The list of blocks, `total` bytes together.
    fn blocks(&mut self, mut total: u64) -> io::Result<()> {
        while total > 0 {
            let name = self.keep_text()?;
            let length = self.keep_u64()?;
            self.keep_u64()?; // its address, which is there because of x-ignore-shared
            if let Some(ram) = &self.ram
                && name == self.block
                && length != ram.size()
            {
                return Err(unknown(format!("RAM has {length} bytes, not {}", ram.size())));
            }
            total = total.checked_sub(length).ok_or_else(|| unknown("the blocks of RAM are larger than their sum"))?;
        }
        Ok(())
    }

    fn page(&mut self, word: &[u8; 8], address: u64, flags: u64) -> io::Result<()> {
        let mut name = Vec::new();
        if flags & flag::SAME_BLOCK == 0 {
            let mut length = [0];
            self.input.read_exact(&mut length)?;
            name = vec![0; usize::from(length[0])];
            self.input.read_exact(&mut name)?;
            self.of_block = name == self.block.as_bytes();
        }
        let is_zero = flags & flag::ZERO != 0;
        if self.of_block {
            let Some(ram) = &mut self.ram else { return Err(unknown("a state with pages of RAM")) };
            if !is_zero {
                return ram.data(address, &mut self.input);
            }
            let mut fill = [0];
            self.input.read_exact(&mut fill)?;
            return if fill == [0] { ram.zero(address) } else { Err(unknown("a page of one byte that is not zero")) };
        }
        self.state.write_all(word)?;
        if flags & flag::SAME_BLOCK == 0 {
            self.state.write_all(&[name.len() as u8])?;
            self.state.write_all(&name)?;
        }
        self.keep_bytes(if is_zero { 1 } else { PAGE }).map(drop)
    }

    /// Reads bytes and copies them to the state.
    fn keep<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.input.read_exact(&mut bytes)?;
        self.state.write_all(&bytes)?;
        Ok(bytes)
    }

    fn keep_bytes(&mut self, count: usize) -> io::Result<Vec<u8>> {
        if count > CHUNK {
            return Err(unknown(format!("{count} bytes in one piece")));
        }
        let mut bytes = vec![0; count];
        self.input.read_exact(&mut bytes)?;
        self.state.write_all(&bytes)?;
        Ok(bytes)
    }

    fn keep_byte(&mut self) -> io::Result<u8> {
        Ok(self.keep::<1>()?[0])
    }

    fn keep_u32(&mut self) -> io::Result<u32> {
        self.keep().map(u32::from_be_bytes)
    }

    fn keep_u64(&mut self) -> io::Result<u64> {
        self.keep().map(u64::from_be_bytes)
    }

    /// A text that follows a byte with its length.
    fn keep_text(&mut self) -> io::Result<String> {
        let length = self.keep_byte()?;
        let bytes = self.keep_bytes(usize::from(length))?;
        String::from_utf8(bytes).map_err(|_| unknown("a name that is not text"))
    }
}

#[cfg(test)]
mod tests;
