//! The cluster layer against a server: TLS, HTTP and an API in memory. One binary, so that it links once.

mod apply;
mod certificates;
mod mock_api;
mod proof;
mod readiness;
