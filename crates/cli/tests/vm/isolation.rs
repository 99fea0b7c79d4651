//! Tests with a process table or mounts of their own: see [`testkit::isolation`].

pub(crate) use testkit::isolation::{isolated, mount};
pub(crate) use testkit::skipped::skip;
