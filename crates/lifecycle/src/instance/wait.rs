//! Waiting for a guest, its cluster and its application: each wait has a name and a deadline.

pub(crate) mod cluster_now;
pub(crate) mod guest_health;
pub(crate) mod readiness;
pub mod services;
pub(crate) mod watch;
