//! `snapshot save|list|rm|restore`: saved VMs that the user named.
//!
//! A snapshot belongs to the project, not to an instance: any instance can be restored from it.

mod list;
mod remove;
mod restore;
mod save;

pub use list::{Entry, list};
pub use remove::{RemoveReport, remove};
pub use restore::restore;
pub use save::{SaveReport, save};
