//! Reads files that need not exist.

use std::fs;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use model::{Error, ErrorClass, Result};
use rustix::fs::OFlags;

use crate::io_error::at_path;
use crate::quoting::quote;

/// The most bytes of a file that is read as a whole.
const LIMIT: u64 = 64 << 20;

/// Reads a file. Returns `None` if it does not exist.
///
/// A pipe, which could keep the reader waiting for ever, is refused, and so is a file without an end. `/dev/null` is an
/// empty file: containers hide files by it.
///
/// # Errors
/// An error that names the path; of class Config for what is no file to be read as a whole.
pub fn read_optional(path: &Path) -> Result<Option<Vec<u8>>> {
    // An open of a pipe would wait for a writer.
    let no_wait = OFlags::NONBLOCK.bits().cast_signed();
    let file = match fs::File::options().read(true).custom_flags(no_wait).open(path) {
        Ok(file) => file,
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => return Err(at_path("read", path, &error)),
    };
    let read = || -> io::Result<Result<Vec<u8>, &str>> {
        let kind = file.metadata()?.file_type();
        if kind.is_fifo() || kind.is_socket() {
            return Ok(Err("it is a pipe or a socket"));
        }
        let mut bytes = Vec::new();
        (&file).take(LIMIT + 1).read_to_end(&mut bytes)?;
        Ok(if bytes.len() as u64 > LIMIT { Err("it has more than 64 MiB") } else { Ok(bytes) })
    };
    match read().map_err(|error| at_path("read", path, &error))? {
        Ok(bytes) => Ok(Some(bytes)),
        Err(why) => Err(Error::new(ErrorClass::Config, format!("{} is not a file that is read here", path.display()))
            .because(why)
            .next(format!("ls -lL {}    # shows what it is", quote(path.as_os_str())))),
    }
}

/// Reads a text file. Returns `None` if it does not exist.
///
/// # Errors
/// An error that names the path; of class Config, with the line, if the file is not UTF-8.
pub fn read_text_optional(path: &Path) -> Result<Option<String>> {
    let Some(bytes) = read_optional(path)? else { return Ok(None) };
    String::from_utf8(bytes).map(Some).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count();
        Error::new(ErrorClass::Config, format!("{} is not valid UTF-8", path.display()))
            .because(format!("line {line} has bytes that are not UTF-8"))
            .next(format!("save {} as UTF-8", path.display()))
    })
}

/// Whether the error says that a file does not exist. A path below a regular file does not exist either.
pub(super) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}
