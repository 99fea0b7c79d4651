//! The cluster layer against a server: TLS, HTTP and an API in memory. One binary, so that it links once.

// The lint's exception for tests does not cover modules that tests share.
#![allow(clippy::unwrap_used)]

mod apply;
mod certificates;
mod container_account;
mod errors;
mod mock_account;
mod mock_api;
mod preview;
mod proof;
mod prune;
mod readiness;
