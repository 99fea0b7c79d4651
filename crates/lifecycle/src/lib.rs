//! The life of an instance. Verbs are made of steps that observe, act and emit events.
//!
//! Nothing here prints or knows the syntax of the command line: results are values, and news are events.

pub mod aftermath;
pub mod apply;
pub mod background;
pub mod context;
mod directory;
pub mod fork;
mod image_users;
pub mod instance;
mod interruption;
pub mod packages;
pub mod project;
pub mod saved_vm;
pub mod start;
mod steps;
pub mod supervisor;
pub mod verbs;

pub use context::Context;
