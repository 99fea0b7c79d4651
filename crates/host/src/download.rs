//! Downloads files: resumable, verified by digest, and complete under their name or absent.

mod address;
mod answer;
mod client;
mod failure;
mod fetch;
mod partial;
mod progress;
mod proxy;
mod target;

pub use client::{Client, Limits};
pub use failure::{Failure, Reason};
pub use target::Download;

#[cfg(test)]
mod tests;
