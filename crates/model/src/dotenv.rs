//! A `.env` document, in which a value can be set without changing any other byte.
//!
//! The grammar is what the dotenv libraries of Node.js and Ruby have in common:
//!
//! - A line ends with `\n` or `\r\n`. Blank lines and lines that begin with `#` are ignored.
//! - An assignment is `NAME=value`, `export NAME=value` or `NAME: value`; blanks around the name and the `=` are
//!   ignored. A `:` is followed by a blank or the end of the line. A name has letters, digits, `_`, `.` and `-`.
//! - `'…'` and `` `…` `` are literal. `"…"` has the escapes `\n`, `\r`, `\"` and `\\`; any other backslash stands
//!   for itself. Quoted values may span lines; a `\r\n` in them reads as `\n`. After the closing quote only
//!   blanks and a `#` comment may follow.
//! - An unquoted value ends with the line or at a `#` after a blank; blanks around it are ignored. A `#` elsewhere is
//!   part of the value, with a warning because some libraries end the value there.
//! - Nothing is expanded: a `$` is a `$`.
//! - If a name is assigned twice, the last value counts.
//!
//! Anything else is left in place and reported as a [`Problem`].

mod document;
mod encoding;
mod parser;
mod problem;
mod text;

pub use document::Document;
pub use problem::{Problem, ProblemKind};
pub use text::NoText;

#[cfg(test)]
mod tests;
