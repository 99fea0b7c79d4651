//! What tests of all layers share: a scripted fake of QEMU, projects in temporary folders, a sink that records.
//!
//! For tests alone; nothing that is shipped depends on it.

pub mod fake_qemu;
pub mod port;
pub mod project;
pub mod recording;
pub mod script;

pub use project::TempProject;
pub use recording::RecordingSink;
pub use script::Script;
