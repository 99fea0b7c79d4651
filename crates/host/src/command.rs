//! Programs run with a deadline: output captured or streamed, errors that can be pasted into a shell.
//!
//! What a program's output means belongs to the caller.

mod description;
mod ending;
mod errors;
mod exchange;
mod lines;
mod run;

pub use crate::quoting::{line_of, quote};
pub use description::Command;
pub use run::Output;

#[cfg(test)]
mod tests;
