//! Lines of a `.env` document that the user should look at.

use std::fmt;

/// A line that the user should look at. It is left in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Problem {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub kind: ProblemKind,
}

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemKind {
    /// It is neither an assignment nor a comment; it is ignored.
    NotAnAssignment,
    /// A quote is never closed; it is read as part of an unquoted value.
    UnclosedQuote,
    /// The closing quote is followed by text that is not a comment; the quotes are read as part of an unquoted value.
    TextAfterQuote,
    /// An unquoted value has a `#`, at which some libraries end the value.
    HashInValue,
    /// It has bytes that are not UTF-8, so that it has no value.
    NotUtf8,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            ProblemKind::NotAnAssignment => "is neither an assignment (NAME=value) nor a comment",
            ProblemKind::UnclosedQuote => "opens a quote that is never closed",
            ProblemKind::TextAfterQuote => "has text after the closing quote",
            ProblemKind::HashInValue => "has a # in an unquoted value, where some programs end it: put it in quotes",
            ProblemKind::NotUtf8 => "has bytes that are not UTF-8",
        };
        write!(f, "line {} {what}", self.line)
    }
}
