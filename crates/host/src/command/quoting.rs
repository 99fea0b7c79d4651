//! Words quoted for a POSIX shell, for texts that people paste. Nothing is ever run through it.

use std::ffi::OsStr;

/// `word` as a shell would have to see it. Bytes that are no text are replaced, since the result is for reading.
pub fn quote(word: &OsStr) -> String {
    let text = word.to_string_lossy();
    match shlex::try_quote(&text) {
        Ok(quoted) => quoted.into_owned(),
        // A NUL cannot be in any argument; the word is shown as it is.
        Err(_) => text.into_owned(),
    }
}
