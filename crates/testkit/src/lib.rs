//! Helpers for the tests of all layers: scripted fakes of QEMU and Nix, a stand-in for K3s, a web server and a proxy that
//! misbehave on request, projects in temporary directories, a sink that records events.
//!
//! It is for tests alone; nothing that is shipped depends on it.

mod base_disk;
mod built;
pub mod fake_api;
pub mod fake_k3s;
pub mod fake_nix;
pub mod fake_qemu;
pub mod http_server;
pub mod isolation;
pub mod kubeconfig;
pub mod port;
pub mod project;
pub mod proxy_server;
pub mod recording;
pub mod script;
pub mod skipped;
pub mod wait;

pub use base_disk::base_disk;
pub use project::TempProject;
pub use recording::RecordingSink;
pub use script::Script;
