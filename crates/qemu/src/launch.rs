//! Starts QEMU so that it outlives the program that started it, and says why it did not come up.

mod early_death;
mod error;
mod restore;
mod start;

pub use error::LaunchError;
pub use restore::Restore;
pub use start::{Launch, Launched};
