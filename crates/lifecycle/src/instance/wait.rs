//! Waiting for a guest, its cluster and its application. Each wait has a name and a deadline.

pub(crate) mod api;
pub(crate) mod cluster_now;
pub(crate) mod guest;
pub(crate) mod guest_health;
pub mod services;
pub(crate) mod ssh;
pub(crate) mod watch;
pub(crate) mod web;
