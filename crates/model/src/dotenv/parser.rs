//! Parses the bytes of a `.env` document; the documentation of [`super`] has the grammar.

use std::ops::Range;

use super::encoding::{self, Quote};
use super::problem::{Problem, ProblemKind};

/// One assignment of the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Assignment {
    pub(super) name: String,
    /// `None` if the value is not UTF-8.
    pub(super) value: Option<String>,
    /// The bytes of the value with its quotes; an empty range at the place for a value if there is none.
    pub(super) span: Range<usize>,
    pub(super) quote: Quote,
}

/// Some editors write it at the begin of a file; it is not part of a name.
pub(super) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Whether `text` is a valid name.
pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_name_byte)
}

/// The assignments and problems, in the order of the lines.
pub(super) fn parse(bytes: &[u8]) -> (Vec<Assignment>, Vec<Problem>) {
    let mut parser = Parser { bytes, line: 1, assignments: Vec::new(), problems: Vec::new() };
    let mut begin = if bytes.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
    while begin < bytes.len() {
        let end = parser.entry(begin);
        let next = (end + 1).min(bytes.len());
        parser.line += newlines(&bytes[begin..next]);
        begin = next;
    }
    (parser.assignments, parser.problems)
}

struct Parser<'a> {
    bytes: &'a [u8],
    line: usize,
    assignments: Vec<Assignment>,
    problems: Vec<Problem>,
}

/// A value: its bytes with quotes, its text without, and the end of the line on which it ends.
struct Found {
    span: Range<usize>,
    text: Range<usize>,
    quote: Quote,
    line_end: usize,
}

impl Parser<'_> {
    /// Parses the line, or the assignment of several lines, at `begin`. Returns the place of its newline.
    fn entry(&mut self, begin: usize) -> usize {
        let end = self.line_end(begin);
        let line = &self.bytes[begin..end];
        match line.iter().find(|byte| !is_blank(**byte)) {
            None | Some(b'#') => return end,
            Some(_) => {}
        }
        let Some((name, value_begin)) = head(line) else {
            let is_text = std::str::from_utf8(line).is_ok();
            self.problem(0, if is_text { ProblemKind::NotAnAssignment } else { ProblemKind::NotUtf8 });
            return end;
        };
        let found = self.value(begin + value_begin, end);
        let text = &self.bytes[found.text.clone()];
        let value = match std::str::from_utf8(text) {
            Ok(text) => Some(decoded(text, found.quote)),
            Err(error) => {
                let before = newlines(&text[..error.valid_up_to()]);
                self.problem(before, ProblemKind::NotUtf8);
                None
            }
        };
        self.assignments.push(Assignment { name, value, span: found.span, quote: found.quote });
        found.line_end
    }

    fn problem(&mut self, lines_below: usize, kind: ProblemKind) {
        self.problems.push(Problem { line: self.line + lines_below, kind });
    }

    /// The value after the `=`, from `begin`, on the line that ends at `end`.
    fn value(&mut self, begin: usize, end: usize) -> Found {
        let start = skip_blanks(self.bytes, begin, end);
        let quote = match self.bytes[start..end].first() {
            Some(b'\'') => Quote::Single,
            Some(b'"') => Quote::Double,
            Some(b'`') => Quote::Backtick,
            _ => return self.unquoted(begin, start, end),
        };
        match self.closing_quote(start, quote) {
            None => self.problem(0, ProblemKind::UnclosedQuote),
            Some(close) => {
                let line_end = self.line_end(close);
                let after = skip_blanks(self.bytes, close + 1, line_end);
                if after == line_end || self.bytes[after] == b'#' {
                    return Found { span: start..close + 1, text: start + 1..close, quote, line_end };
                }
                self.problem(0, ProblemKind::TextAfterQuote);
            }
        }
        self.unquoted(begin, start, end)
    }

    /// The closing quote for the one at `open`.
    fn closing_quote(&self, open: usize, quote: Quote) -> Option<usize> {
        let mark = self.bytes[open];
        let mut place = open + 1;
        while let Some(byte) = self.bytes.get(place) {
            match byte {
                b'\\' if quote == Quote::Double => place += 2,
                byte if *byte == mark => return Some(place),
                _ => place += 1,
            }
        }
        None
    }

    fn unquoted(&mut self, begin: usize, start: usize, end: usize) -> Found {
        let text = &self.bytes[start..end];
        let is_comment = |place: &usize| text[*place] == b'#' && (*place == 0 || is_blank(text[place - 1]));
        let comment = (0..text.len()).find(is_comment).unwrap_or(text.len());
        let blanks = text[..comment].iter().rev().take_while(|byte| is_blank(**byte)).count();
        let text = &text[..comment - blanks];
        if text.contains(&b'#') {
            self.problem(0, ProblemKind::HashInValue);
        }
        // The place for a value is directly after the sign, so that the blank before a comment stays.
        let span = if text.is_empty() { begin..begin } else { start..start + text.len() };
        Found { span: span.clone(), text: span, quote: Quote::Unquoted, line_end: end }
    }

    /// The newline at the end of the line of `place`, or the end of the document.
    fn line_end(&self, place: usize) -> usize {
        let rest = &self.bytes[place..];
        rest.iter().position(|byte| *byte == b'\n').map_or(self.bytes.len(), |length| place + length)
    }
}

/// The name of an assignment and the place in the line after its sign.
fn head(line: &[u8]) -> Option<(String, usize)> {
    let begin = skip_blanks(line, 0, line.len());
    let behind_export = line[begin..]
        .strip_prefix(b"export")
        .filter(|rest| rest.first().is_some_and(|byte| is_blank(*byte)))
        .map(|rest| skip_blanks(line, line.len() - rest.len(), line.len()));
    // "export = 1" assigns to the name `export`.
    behind_export.and_then(|begin| name_and_sign(line, begin)).or_else(|| name_and_sign(line, begin))
}

fn name_and_sign(line: &[u8], begin: usize) -> Option<(String, usize)> {
    let length = line[begin..].iter().take_while(|byte| is_name_byte(**byte)).count();
    let end = begin + length;
    let name = std::str::from_utf8(&line[begin..end]).ok().filter(|name| !name.is_empty())?;
    let sign = skip_blanks(line, end, line.len());
    let is_assignment = match line.get(sign)? {
        b'=' => true,
        b':' => sign == end && line.get(sign + 1).is_none_or(|byte| is_blank(*byte)),
        _ => false,
    };
    is_assignment.then(|| (name.to_owned(), sign + 1))
}

fn decoded(text: &str, quote: Quote) -> String {
    match quote {
        Quote::Unquoted => text.to_owned(),
        Quote::Single | Quote::Backtick => text.replace("\r\n", "\n"),
        Quote::Double => encoding::unescape(&text.replace("\r\n", "\n")),
    }
}

fn skip_blanks(bytes: &[u8], begin: usize, end: usize) -> usize {
    begin + bytes[begin..end].iter().take_while(|byte| is_blank(**byte)).count()
}

fn newlines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte == b'\n').count()
}

/// Whether a byte is a blank, to which the carriage return before a newline belongs.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\x0b' | b'\x0c')
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_.-".contains(&byte)
}
