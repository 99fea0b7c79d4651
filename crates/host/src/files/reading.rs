//! Reads files that need not exist.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use model::{Error, ErrorClass, Result};

use crate::io_error::at_path;

/// Reads a file. Returns `None` if it does not exist.
///
/// # Errors
/// An error that names the path.
pub fn read_optional(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(at_path("read", path, &error)),
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
