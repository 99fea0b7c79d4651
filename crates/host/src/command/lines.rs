//! Splits a stream into lines, in bounded memory. Newlines and carriage returns end a line.

use std::collections::VecDeque;

/// Longer lines are passed on in pieces of this size, in bytes.
const LONGEST: usize = 16 * 1024;

/// Splits a stream into lines. Empty lines count, except the one between a carriage return and its newline.
#[derive(Debug, Default)]
pub(super) struct LineSplitter {
    rest: Vec<u8>,
    after_return: bool,
}

impl LineSplitter {
    /// Takes the next bytes and passes on the complete lines.
    pub(super) fn push(&mut self, bytes: &[u8], line: &mut dyn FnMut(&str)) {
        for byte in bytes {
            match byte {
                b'\n' if self.after_return => {}
                b'\n' | b'\r' => self.flush(line),
                _ => {
                    if self.rest.len() == LONGEST {
                        self.flush(line);
                    }
                    self.rest.push(*byte);
                }
            }
            self.after_return = *byte == b'\r';
        }
    }

    /// Passes on the rest at the end of the stream.
    pub(super) fn finish(&mut self, line: &mut dyn FnMut(&str)) {
        if !self.rest.is_empty() {
            self.flush(line);
        }
    }

    fn flush(&mut self, line: &mut dyn FnMut(&str)) {
        line(&String::from_utf8_lossy(&self.rest));
        self.rest.clear();
    }
}

/// The last lines of a stream.
#[derive(Debug)]
pub(super) struct Tail {
    lines: VecDeque<String>,
    most: usize,
}

impl Tail {
    /// Holds at most `most` lines.
    pub(super) fn new(most: usize) -> Self {
        Tail { lines: VecDeque::with_capacity(most), most }
    }

    /// Adds a line, unless it is blank, and drops the oldest one if there are too many.
    pub(super) fn push(&mut self, line: &str) {
        if line.trim().is_empty() {
            return;
        }
        if self.lines.len() == self.most {
            self.lines.pop_front();
        }
        self.lines.push_back(line.to_owned());
    }

    /// The lines, oldest first.
    pub(super) fn into_lines(self) -> Vec<String> {
        self.lines.into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(pieces: &[&[u8]]) -> Vec<String> {
        let (mut splitter, mut lines) = (LineSplitter::default(), Vec::new());
        for piece in pieces {
            splitter.push(piece, &mut |line| lines.push(line.to_owned()));
        }
        splitter.finish(&mut |line| lines.push(line.to_owned()));
        lines
    }

    #[test]
    fn both_ends_of_a_line_count() {
        assert_eq!(split(&[b"one\ntwo\r\nthree\rfour"]), ["one", "two", "three", "four"]);
        assert_eq!(split(&[b"one\r", b"\ntwo\n"]), ["one", "two"]);
        assert_eq!(split(&[b"\n\none\n"]), ["", "", "one"]);
        assert_eq!(split(&[b"10%\r50%\r100%\n"]), ["10%", "50%", "100%"]);
        assert!(split(&[b""]).is_empty());
    }

    #[test]
    fn a_character_that_the_pipe_cuts_in_two_is_joined() {
        assert_eq!(split(&[b"caf\xc3", b"\xa9\n"]), ["caf\u{e9}"]);
    }

    #[test]
    fn an_endless_line_comes_in_pieces() {
        let lengths: Vec<usize> = split(&[&vec![b'x'; 40_000]]).iter().map(String::len).collect();
        assert_eq!(lengths, [16_384, 16_384, 7_232]);
    }

    #[test]
    fn the_tail_has_the_last_lines_that_are_not_blank() {
        let mut tail = Tail::new(2);
        for line in ["one", "two", " ", "three"] {
            tail.push(line);
        }
        assert_eq!(tail.into_lines(), ["two", "three"]);
    }

    proptest! {
        #[test]
        fn how_the_pipe_cuts_the_stream_does_not_matter(
            bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), any::<u8>()], 0..200),
            cut in 0..200usize,
        ) {
            let (left, right) = bytes.split_at(cut.min(bytes.len()));
            prop_assert_eq!(split(&[left, right]), split(&[&bytes]));
        }
    }
}
