//! The document: reads values, and sets one without touching the rest.

use std::ops::Range;

use super::encoding::{self, Quote};
use super::parser::{self, Assignment};
use super::problem::Problem;
use super::text::{self, NoText};

/// A document: its bytes, and what they say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    bytes: Vec<u8>,
    assignments: Vec<Assignment>,
    problems: Vec<Problem>,
}

impl Document {
    /// Reads a document. Every sequence of bytes is one.
    pub fn parse(bytes: &[u8]) -> Self {
        let (assignments, problems) = parser::parse(bytes);
        Document { bytes: bytes.to_vec(), assignments, problems }
    }

    /// Why the bytes are no text that could be changed; such a document can be read, and says nothing.
    pub fn no_text(bytes: &[u8]) -> Option<NoText> {
        text::no_text(bytes)
    }

    /// The document as bytes; unless it was changed, those it was read from.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.bytes.clone()
    }

    /// The value of a name: that of its last assignment. Nothing where there is none or where it is not UTF-8.
    pub fn get(&self, name: &str) -> Option<String> {
        self.last(name).and_then(|assignment| assignment.value.clone())
    }

    /// All names with their last values, in the order in which the names come first. Those whose last value is not
    /// UTF-8 are left out; [`Document::problems`] has them.
    pub fn variables(&self) -> Vec<(String, String)> {
        let mut names: Vec<&str> = Vec::new();
        for assignment in &self.assignments {
            if !names.contains(&assignment.name.as_str()) {
                names.push(&assignment.name);
            }
        }
        names.into_iter().filter_map(|name| Some((name.to_owned(), self.get(name)?))).collect()
    }

    /// What the user should look at, in the order of the lines.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Gives a name a value. Changes only the bytes of the value of its last assignment, or appends a line in the
    /// document's style of line ends. Nothing changes where the name has that value already. The value keeps its kind
    /// of quotes where they can carry the new one.
    ///
    /// Whether the document says so now. It does not, and stays as it was, for what cannot be a name, and where an
    /// unclosed quote further up would take every way to write the value for its end; a value without quotes, blanks
    /// and `#` can always be set.
    pub fn set(&mut self, name: &str, value: &str) -> bool {
        if self.get(name).as_deref() == Some(value) {
            return true;
        }
        if !parser::is_name(name) {
            return false;
        }
        let present = self.last(name).cloned();
        let quote = present.as_ref().map_or(Quote::Unquoted, |assignment| assignment.quote);
        for written in encoding::ways_to_write(value, quote) {
            let changed = match &present {
                Some(assignment) => self.with_span(&assignment.span, &written),
                None => self.with_line(&format!("{name}={written}")),
            };
            let changed = Document::parse(&changed);
            if changed.get(name).as_deref() == Some(value) && changed.differs_only_in(self, name) {
                *self = changed;
                return true;
            }
        }
        false
    }

    pub(super) fn last(&self, name: &str) -> Option<&Assignment> {
        self.assignments.iter().rev().find(|assignment| assignment.name == name)
    }

    fn with_span(&self, span: &Range<usize>, written: &str) -> Vec<u8> {
        let before = &self.bytes[..span.start];
        let blank: &[u8] = if before.ends_with(b":") { b" " } else { b"" };
        [before, blank, written.as_bytes(), &self.bytes[span.end..]].concat()
    }

    fn with_line(&self, line: &str) -> Vec<u8> {
        let newline = self.newline();
        let ended = self.bytes.is_empty() || self.bytes.ends_with(b"\n") || self.bytes == parser::BYTE_ORDER_MARK;
        let missing = if ended { "" } else { newline };
        [&self.bytes, missing.as_bytes(), line.as_bytes(), newline.as_bytes()].concat()
    }

    /// The way the last ended line ends.
    fn newline(&self) -> &'static str {
        match self.bytes.iter().rposition(|byte| *byte == b'\n') {
            Some(end) if self.bytes[..end].ends_with(b"\r") => "\r\n",
            _ => "\n",
        }
    }

    /// Whether every other name has the assignments that it has in `former`.
    pub(super) fn differs_only_in(&self, former: &Document, name: &str) -> bool {
        let others = |document: &Document| -> Vec<(String, Option<String>)> {
            let others = document.assignments.iter().filter(|assignment| assignment.name != name);
            others.map(|assignment| (assignment.name.clone(), assignment.value.clone())).collect()
        };
        others(self) == others(former)
    }
}
