//! PEM (RFC 7468) of untrusted origin, read strictly: blocks with the expected labels, and nothing between them.
//!
//! Pure. Only the content of the blocks is used, never their text: [`write`] encodes them anew.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// More certificates than any chain has.
const MOST_BLOCKS: usize = 16;
/// Columns of base64, as RFC 7468 requires and Go writes.
const COLUMNS: usize = 64;

/// One PEM block.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Block {
    /// `CERTIFICATE`; one of the expected labels.
    pub(crate) label: &'static str,
    /// The decoded content.
    pub(crate) der: Vec<u8>,
}

/// The blocks of `text`, at least one, each with one of `labels`.
///
/// # Errors
/// Why the text is refused, as a part of a sentence that repeats nothing of the text.
pub(crate) fn read(text: &str, labels: &[&'static str]) -> Result<Vec<Block>, String> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.is_empty() {
            continue;
        }
        let begins = |label: &&&str| line == format!("-----BEGIN {label}-----");
        let Some(label) = labels.iter().find(begins) else {
            return Err(format!("it has something other than PEM blocks of {}", labels.join(", ")));
        };
        let end = format!("-----END {label}-----");
        let mut base64 = String::new();
        loop {
            match lines.next() {
                Some(line) if line == end => break,
                Some(line) => base64.push_str(line),
                None => return Err("a PEM block in it has no end".to_owned()),
            }
        }
        let der = STANDARD.decode(base64).map_err(|_| "a PEM block in it is not base64".to_owned())?;
        blocks.push(Block { label, der });
        if blocks.len() > MOST_BLOCKS {
            return Err(format!("it holds more than {MOST_BLOCKS} PEM blocks"));
        }
    }
    if blocks.is_empty() { Err("it holds no PEM block".to_owned()) } else { Ok(blocks) }
}

/// Encodes `blocks`.
pub(crate) fn write(blocks: &[Block]) -> String {
    let mut text = String::new();
    for Block { label, der } in blocks {
        text.push_str(&format!("-----BEGIN {label}-----\n"));
        let base64 = STANDARD.encode(der);
        let mut rest = base64.as_str();
        while !rest.is_empty() {
            let (line, more) = rest.split_at(rest.len().min(COLUMNS));
            text.push_str(line);
            text.push('\n');
            rest = more;
        }
        text.push_str(&format!("-----END {label}-----\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_was_read_without_anything_beside_the_blocks() {
        let text = format!("-----BEGIN A-----\n{}\nQUJD\n-----END A-----\n", "QUJD".repeat(16));
        let blocks = read(&format!("\n{}\n", text.replace('\n', "\r\n")), &["B", "A"]).map_err(|why| panic!("{why}"));
        let blocks = blocks.unwrap_or_default();
        assert_eq!((blocks.len(), blocks[0].label, blocks[0].der.len()), (1, "A", 51));
        assert_eq!(write(&blocks), text);
    }

    #[test]
    fn text_beside_blocks_and_unexpected_labels_are_refused() {
        let block = "-----BEGIN A-----\nQUJD\n-----END A-----\n";
        for (text, why) in [
            (String::new(), "no PEM block"),
            ("\n\n".to_owned(), "no PEM block"),
            (format!("subject=/CN=a\n{block}"), "something other"),
            (format!("{block}#!/bin/sh\n"), "something other"),
            (block.replace('A', "B"), "something other"),
            (block.replace("-----BEGIN", " -----BEGIN"), "something other"),
            (block.replace("QUJD", "Proc-Type: 4,ENCRYPTED\n\nQUJD"), "not base64"),
            (block.replace("QUJD", "QUJ"), "not base64"),
            (block.replace("END A", "END B"), "no end"),
            (block.repeat(MOST_BLOCKS + 1), "more than"),
        ] {
            let found = read(&text, &["A"]).map(|blocks| blocks.len());
            assert!(found.as_ref().is_err_and(|found| found.contains(why)), "{text:?}: {found:?}");
        }
    }
}
