//! The values, rules and texts that all layers of k3s-vm share.
//!
//! Pure: nothing in this crate touches files, processes, the network, the environment or the clock.

pub mod bind_address;
pub mod config;
pub mod dotenv;
pub mod error;
pub mod event;
pub mod generation;
pub mod guest_image;
pub mod instance;
pub mod paths;
pub mod port;
pub mod requirement;
pub mod snapshot;

pub use bind_address::BindAddress;
pub use config::Config;
pub use error::{Error, ErrorClass, Result};
pub use event::{Event, EventSink};
pub use generation::Generation;
