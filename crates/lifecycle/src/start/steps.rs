//! The steps of a start, by what they are about.

pub(super) mod arrive;
pub(super) mod begin;
pub(super) mod prepare;
