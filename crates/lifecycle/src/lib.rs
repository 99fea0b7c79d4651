//! The life of an instance. Verbs are made of steps that observe, act and emit events.
//!
//! Nothing here prints or knows command-line syntax; results are values, news are events.

pub mod aftermath;
pub mod apply;
pub mod background;
pub mod context;
pub mod fork;
pub mod instance;
pub mod packages;
pub mod project;
pub mod saved_vm;
pub mod start;
mod steps;
pub mod supervisor;
pub mod verbs;

pub use context::Context;
