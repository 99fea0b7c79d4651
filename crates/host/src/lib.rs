//! The host: atomic files, cpio archives, locks, processes and their identity, ports, tools, commands with deadlines,
//! downloads.
//!
//! It knows nothing of QEMU or Kubernetes.

pub mod account_names;
pub mod background;
pub mod command;
pub mod cpio;
pub mod deadline;
pub mod digest;
pub mod download;
pub mod file_watch;
pub mod files;
pub mod first_answer;
pub mod foreground;
pub mod identity;
pub mod interrupt;
pub mod io_error;
pub mod lock;
pub mod memory;
pub mod port_holder;
pub mod process_table;
pub mod program_version;
mod quoting;
pub mod sparse_copy;
pub mod tools;
pub mod wait;
