//! Everything that the program prints: results on stdout, progress and errors on stderr, as text or as JSON.
//!
//! [`Output`] is the only writer. Other files here make text from values.

mod consent;
pub(crate) mod duration;
mod error;
mod human;
mod json;
mod live;
mod log_lines;
mod mode;
mod printable;
mod stderr;
pub(crate) mod style;
pub(crate) mod table;
pub(crate) mod typed;
mod writer;

pub(crate) use mode::Surroundings;
pub(crate) use writer::Output;
