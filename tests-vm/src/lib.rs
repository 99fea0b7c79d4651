//! What the tests on a real VM share: a project of their own, the launchers, and steps in a fixed order.
//!
//! These tests boot a VM and take minutes, so they are no part of a plain `cargo test`; `bin/test` runs them.

pub mod apply_steps;
pub mod contract;
pub mod credential_steps;
pub mod data_steps;
pub mod hostile_steps;
pub mod http;
pub mod idle_steps;
pub mod instant_steps;
pub mod pod_network;
pub mod project;
pub mod services_steps;
pub mod steps;
pub mod test_runner;
