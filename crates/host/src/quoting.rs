//! Quotes words for a POSIX shell: for commands that people paste, and for ssh, which always runs a shell.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// Quotes `word` for a shell. Invalid UTF-8 is replaced, because the result is for people to read.
pub fn quote(word: &OsStr) -> String {
    let text = word.to_string_lossy();
    match shlex::try_quote(&text) {
        Ok(quoted) => quoted.into_owned(),
        // No argument can have a NUL, so the word is only shown.
        Err(_) => text.into_owned(),
    }
}

/// Joins `words` to a line from which a POSIX shell reads the same words, byte for byte. Returns `None` if one has a
/// NUL, which no argument can have.
pub fn line_of<'a>(words: impl IntoIterator<Item = &'a OsStr>) -> Option<OsString> {
    let words: Vec<&[u8]> = words.into_iter().map(OsStr::as_bytes).collect();
    shlex::bytes::try_join(words).ok().map(OsString::from_vec)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words_of_a_shell(words: &[&OsStr]) -> Vec<u8> {
        let mut line = OsString::from("printf '%s\\0' ");
        line.push(line_of(words.iter().copied()).unwrap());
        let output = std::process::Command::new("/bin/sh").arg("-c").arg(line).output().unwrap();
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    #[test]
    fn a_word_that_is_a_command_stays_a_word() {
        let words = [
            "",
            "a b",
            "'; touch /root/pwned; '",
            "$(id)",
            "`id`",
            "\\",
            "\"",
            "a\nb",
            "*",
            "~",
            "-n",
            "é",
            "#",
            "!x",
            "a=b",
        ];
        let mut words: Vec<&OsStr> = words.iter().map(OsStr::new).collect();
        words.push(OsStr::from_bytes(b"\xff\x1b[2J"));
        let expected: Vec<u8> = words.iter().flat_map(|word| [word.as_bytes(), b"\0"].concat()).collect();
        assert_eq!(words_of_a_shell(&words), expected);
        assert_eq!(line_of([OsStr::new("a\0b")]), None);
    }
}
