//! What the tests on a real VM share: a project, the launchers, and steps in a fixed order.
//!
//! These tests boot a VM and take minutes. `bin/test vm` runs them, a plain `cargo nextest run` does not.

pub mod apply_steps;
pub mod contract;
pub mod credential_steps;
pub mod data_steps;
mod expect;
pub mod hostile_steps;
pub mod http;
pub mod idle_steps;
pub mod instant_steps;
pub mod pod_network;
pub mod project;
pub mod services_steps;
pub mod steps;
pub mod test_runner;
