//! Runs programs with a deadline, and captures or streams their output. Errors show the command for pasting into a
//! shell.
//!
//! What a program's output means belongs to the caller.

mod description;
mod ending;
mod errors;
mod lines;
mod run;
mod running;

pub use crate::quoting::{line_of, quote};
pub use description::Command;
pub use run::Output;

#[cfg(test)]
mod tests;
