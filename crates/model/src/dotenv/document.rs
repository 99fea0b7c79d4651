//! The document: its values, and setting one of them.

use std::ops::Range;

use super::encoding::{self, Quote};
use super::parser::{self, Assignment};
use super::problem::Problem;
use super::text::{self, NoText};

/// A document: its bytes, and the assignments and problems in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    bytes: Vec<u8>,
    assignments: Vec<Assignment>,
    problems: Vec<Problem>,
}

impl Document {
    /// Parses a document. Any bytes are accepted.
    pub fn parse(bytes: &[u8]) -> Self {
        let (assignments, problems) = parser::parse(bytes);
        Document { bytes: bytes.to_vec(), assignments, problems }
    }

    /// Why the bytes are not a text that can be edited, or `None`. Such bytes can be parsed, but have no assignments.
    pub fn no_text(bytes: &[u8]) -> Option<NoText> {
        text::no_text(bytes)
    }

    /// The bytes of the document; those that were parsed, unless a value was set.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.bytes.clone()
    }

    /// The value of a name's last assignment; `None` if there is none or it is not UTF-8.
    pub fn get(&self, name: &str) -> Option<String> {
        self.last(name).and_then(|assignment| assignment.value.clone())
    }

    /// All names with their last values, in the order of their first assignments. A name is left out if its last value
    /// is not UTF-8, which [`Document::problems`] reports.
    pub fn variables(&self) -> Vec<(String, String)> {
        let mut names: Vec<&str> = Vec::new();
        for assignment in &self.assignments {
            if !names.contains(&assignment.name.as_str()) {
                names.push(&assignment.name);
            }
        }
        names.into_iter().filter_map(|name| Some((name.to_owned(), self.get(name)?))).collect()
    }

    /// The lines that the user should look at, in order.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Sets the value of a name. Changes only the bytes of the value of its last assignment, or appends a line with the
    /// document's kind of line end. Changes nothing if the name has that value already. The kind of quotes is kept if
    /// it can carry the new value.
    ///
    /// Returns whether the name has the value now. It has not, and the document is unchanged, if `name` is not a valid
    /// name, or if an unclosed quote further up would end at the quotes of the new value. A value without quotes,
    /// blanks and `#` can always be set.
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

    /// The line end of the last complete line.
    fn newline(&self) -> &'static str {
        match self.bytes.iter().rposition(|byte| *byte == b'\n') {
            Some(end) if self.bytes[..end].ends_with(b"\r") => "\r\n",
            _ => "\n",
        }
    }

    /// Whether all names but `name` have the same assignments as in `former`.
    pub(super) fn differs_only_in(&self, former: &Document, name: &str) -> bool {
        let others = |document: &Document| -> Vec<(String, Option<String>)> {
            let others = document.assignments.iter().filter(|assignment| assignment.name != name);
            others.map(|assignment| (assignment.name.clone(), assignment.value.clone())).collect()
        };
        others(self) == others(former)
    }
}
