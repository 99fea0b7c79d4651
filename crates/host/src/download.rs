//! Files from the network: resumable, verified while they arrive, complete under their name or absent.
//!
//! It knows HTTP, proxies and trust, not what is fetched nor what to do where a host cannot be reached.

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
