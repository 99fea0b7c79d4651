//! Writing to stderr.

use std::io::{self, Write};

use super::printable::for_terminal;

/// Writes text. Ignores errors, because there is nowhere to report them.
pub(super) fn write(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(for_terminal(text).as_bytes()).and_then(|()| stderr.flush());
}
