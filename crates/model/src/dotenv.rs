//! A `.env` document that is changed without touching any byte it need not touch.
//!
//! Grammar, which is what the dotenv libraries of Node.js and Ruby have in common:
//!
//! - A line ends with `\n` or `\r\n`. Blank lines and lines whose first letter is `#` say nothing.
//! - An assignment is `NAME=value`, `export NAME=value` or `NAME: value`; blanks around the name and the `=` do not
//!   count. Behind a `:` stands a blank or the end of the line. A name has letters, digits, `_`, `.` and `-`.
//! - `'…'` and `` `…` `` are literal. In `"…"` the escapes `\n`, `\r`, `\"` and `\\` count; any other backslash
//!   stands for itself. Quoted values may span lines; a `\r\n` in them reads as `\n`. After the closing quote only
//!   blanks and a `#` comment may follow.
//! - An unquoted value ends with the line or at a `#` after a blank; blanks around it do not count. A `#` elsewhere is
//!   part of it, with a warning, since some libraries end the value there.
//! - Nothing is expanded: a `$` is a `$`.
//! - A name that is assigned twice has its last value.
//!
//! What fits none of this is kept as it is and told as a [`Problem`].

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
