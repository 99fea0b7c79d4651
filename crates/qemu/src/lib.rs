//! QEMU: the machine and its command line, start and shutdown, QMP, the guest agent, saved state, disks, the console.
//!
//! It knows nothing of Kubernetes.

pub mod accelerator;
pub mod agent;
mod answer;
pub mod argv;
mod changed_memory;
pub mod console;
mod direct_writer;
pub mod disk;
#[cfg(test)]
mod hostile_json;
mod last_words;
pub mod launch;
pub mod machine;
mod parallel_copy;
mod port_error;
pub mod power;
pub mod qcow2;
pub mod qemu_img;
pub mod qmp;
mod ram_stream;
pub mod read_ahead;
mod sandbox;
pub mod save;
pub mod saved_state;
mod steps;
pub mod stopped;
pub mod user_network;
pub mod version;
pub mod wake_line;
mod wire;
pub mod workarounds;

pub use agent::Agent;
pub use launch::{Launch, LaunchError, Launched, Restore};
pub use machine::{Accelerator, Forward, Machine, MemoryBackend};
pub use port_error::ForwardError;
pub use qmp::Qmp;
pub use save::{Save, Saved};
pub use saved_state::SavedState;
pub use stopped::StoppedGuest;
pub use user_network::UserNetwork;
pub use version::{Qemu, Version};
pub use wake_line::WakeLine;
